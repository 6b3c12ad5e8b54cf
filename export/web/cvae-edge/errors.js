/** What a user or a bundle can cause. The message is one sentence: the rule, then what was got. */
export class CvaeEdgeError extends Error {
  name = "CvaeEdgeError";
}

/** Throw a CvaeEdgeError with `rule` and what was got, unless `holds`. */
export function require(holds, rule, got) {
  if (!holds) throw new CvaeEdgeError(`${rule}, got ${describe(got)}`);
}

function describe(value) {
  if (typeof value === "string") return `'${value.slice(0, 40)}'`;
  if (typeof value === "object" && value !== null) return JSON.stringify(value).slice(0, 80);
  return String(value);
}
