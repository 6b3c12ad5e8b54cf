/** A bundle as its manifest describes it; every file is checked before it is used. */
import { canonical } from "./canonical.js";
import { CvaeEdgeError, require } from "./errors.js";
import { sha256 } from "./sha256.js";

export const MANIFEST = "manifest.json";
const VERSIONS = [1, 2];
const MAX_BYTES = 2 ** 28; // of a file: a bundle has a few MB
const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const HASH = /^[0-9a-f]{64}$/;
const CHOICES = {
  fit: ["stretch", "crop", "pad"],
  binarize: ["none", "threshold", "draw"],
};
const FIXED = { orientation: "exif", range: [0, 1], frame: 0 }; // rules that hold for every model
const BINARIZE_1 = { static: "threshold", dynamic: "draw", none: "none" }; // version 1's words

/** A manifest whose entries have been checked, and a way to its files. */
export class Bundle {
  constructor(manifest, read) {
    this.manifest = manifest;
    this.read = read; // from a file's name to its bytes
  }

  /** Open the bundle in a folder: its URL, or a function from file names to bytes. */
  static async open(source) {
    const read = typeof source === "function" ? source : reader(source);
    return new Bundle(await parseManifest(await read(MANIFEST)), read);
  }

  /** Return the ONNX artifact of a role and precision, or undefined. */
  find(role, precision) {
    const is = { format: "onnx", role, precision };
    return this.manifest.artifacts.find((a) => Object.keys(is).every((key) => a[key] === is[key]));
  }

  /** Return a learned prior's file for a decoder's precision; with integers go 8-bit kernels. */
  findPrior(role, precision) {
    const eight = ["int8", "int4"].includes(precision) ? ["dynamic_range"] : [];
    const found = [precision, ...eight, "float32"].map((each) => this.find(role, each));
    return found.find((artifact) => artifact);
  }

  /** Return an artifact's bytes, once their SHA-256 is the manifest's. */
  async bytes(artifact) {
    return checked(await this.read(artifact.file), artifact.file, artifact.sha256);
  }
}

/** Return a function that reads a file of a folder, by http(s) or, in Node, from disk. */
export function reader(folder) {
  const base = urlOf(String(folder).replace(/\/?$/, "/"));
  return async (name) => {
    const url = new URL(name, base);
    if (url.protocol === "file:") {
      const { readFile } = await import("node:fs/promises");
      return readFile(url).catch((error) => unread(name, error.code));
    }
    const response = await fetch(url).catch((error) => unread(name, error.message));
    if (!response.ok) unread(name, `the server answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
}

function urlOf(text) {
  try {
    return new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch {
    throw new CvaeEdgeError(`a bundle's source must be the URL of its folder, got '${text}'`);
  }
}

function unread(name, reason) {
  throw new CvaeEdgeError(`${name} cannot be read: ${reason}`);
}

/** Return bytes whose SHA-256 is right. */
export async function checked(bytes, name, hash) {
  require(bytes.length <= MAX_BYTES, `${name} must have at most ${MAX_BYTES} bytes`, bytes.length);
  if ((await sha256(bytes)) !== hash) {
    throw new CvaeEdgeError(
      `${name} was changed or damaged, its SHA-256 is not the one that was recorded: copy it again`,
    );
  }
  return bytes;
}

/** Read a manifest of version 1 or 2, trusting nothing in it. */
export async function parseManifest(bytes) {
  const text = new TextDecoder().decode(bytes);
  let fields;
  try {
    fields = JSON.parse(text);
  } catch (error) {
    throw new CvaeEdgeError(`${MANIFEST} must be JSON: ${error.message}`);
  }
  require(isObject(fields), `${MANIFEST} must be an object`, fields);
  const rule = `format_version must be ${VERSIONS.join(" or ")}, which this page reads`;
  require(VERSIONS.includes(fields.format_version), rule, fields.format_version ?? null);
  if (fields.format_version === 1) fields = fromVersion1(fields);
  else await checkDigest(text, fields.digest);
  checkFields(fields);
  return fields;
}

async function checkDigest(text, recorded) {
  const digest = await sha256(new TextEncoder().encode(canonical(text, "digest")));
  if (digest !== recorded) {
    throw new CvaeEdgeError(
      `${MANIFEST} was changed or damaged, its digest is not that of the other fields: copy it again`,
    );
  }
}

/** Version 1 knew one likelihood, and no other way to reach a size than stretching. */
function fromVersion1(fields) {
  const pixels = {
    image_shape: fields.model?.image_shape,
    fit: "stretch",
    background: "#ffffff",
    binarize: BINARIZE_1[fields.binarize],
  };
  return { ...fields, pixels, likelihood: { name: "bernoulli", scale: [] } };
}

function checkFields({ model, pixels, likelihood, artifacts }) {
  const { image_shape: shape, latent_dim: latentDim } = model ?? {};
  const sizes = Array.isArray(shape) && shape.length === 3 && [...shape, latentDim].every(isSize);
  require(sizes, "model must have an image_shape of three sizes and a latent_dim", model ?? null);
  require(shape[2] <= 4, "image_shape must have 1 to 4 channels", shape);
  require(isObject(pixels), "pixels must be an object", pixels ?? null);
  for (const [name, allowed] of Object.entries(CHOICES)) {
    require(allowed.includes(pixels[name]), `${name} must be ${allowed.join(", ")}`, pixels[name]);
  }
  const colour = /^#[0-9a-f]{6}$/i.test(pixels.background);
  require(colour, "background must be a colour as #rrggbb", pixels.background);
  for (const [name, value] of Object.entries(FIXED)) {
    const same = JSON.stringify(pixels[name] ?? value) === JSON.stringify(value);
    require(same, `${name} of pixels must be ${JSON.stringify(value)}`, pixels[name]);
  }
  const named = typeof likelihood?.name === "string" && Array.isArray(likelihood.scale);
  require(named, "likelihood must have a name and a scale", likelihood ?? null);
  require(Array.isArray(artifacts), "artifacts must be a list", artifacts ?? null);
  for (const artifact of artifacts) {
    require(FILE_NAME.test(
      artifact?.file,
    ), "a file's name must be letters, digits, . _ and -", artifact?.file);
    require(HASH.test(artifact.sha256), "sha256 must be 64 hexadecimal digits", artifact.sha256);
    const tensors = Array.isArray(artifact.inputs) && Array.isArray(artifact.outputs);
    require(tensors, `${artifact.file} must have inputs and outputs`, artifact.inputs);
  }
}

function isSize(value) {
  return Number.isSafeInteger(value) && value >= 1;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
