/**
 * JSON as Python's json.dumps(sort_keys=True, separators=(",", ":")) writes it.
 *
 * A manifest's digest is of that text. JSON.parse would lose how numbers were written (1.0, 1e-05),
 * so they are taken over as they stand.
 */
import { CvaeEdgeError } from "./errors.js";

const TOKEN = /\s*([{}[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+)/y;

/** Return the canonical text of a JSON object without its member `omitted`. */
export function canonical(text, omitted) {
  TOKEN.lastIndex = 0;
  let [token, depth] = [next(), 0];

  function next() {
    const found = TOKEN.exec(text);
    return found === null ? "" : found[1];
  }

  function value() {
    const first = token;
    token = next();
    if (first === "{") return members();
    if (first === "[") return elements();
    if (first === "" || /^[\]},:]$/.test(first)) throw new CvaeEdgeError("JSON ends too early");
    return first.startsWith('"') ? string(JSON.parse(first)) : first;
  }

  function members() {
    const found = [];
    depth += 1;
    while (token !== "}") {
      const key = JSON.parse(token);
      token = next(); // the colon
      token = next();
      const content = value();
      if (depth > 1 || key !== omitted) found.push([key, content]);
      if (token === ",") token = next();
    }
    depth -= 1;
    token = next();
    found.sort(([a], [b]) => byCodePoint(a, b));
    return `{${found.map(([key, content]) => `${string(key)}:${content}`).join(",")}}`;
  }

  function elements() {
    const found = [];
    while (token !== "]") {
      found.push(value());
      if (token === ",") token = next();
    }
    token = next();
    return `[${found.join(",")}]`;
  }

  return value();
}

/** Return a string's JSON in ASCII. */
function string(text) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) =>
    unit === "\u007f" ? unit : escape(unit),
  );
}

/** Order as Python orders strings; JavaScript's < orders by UTF-16 units. */
function byCodePoint(a, b) {
  const [left, right] = [Array.from(a), Array.from(b)];
  const i = left.findIndex((character, at) => character !== right[at]);
  if (i < 0) return left.length - right.length;
  return i >= right.length ? 1 : left[i].codePointAt(0) - right[i].codePointAt(0);
}
