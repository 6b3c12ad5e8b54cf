/** onnxruntime: which of its builds runs here, and sessions that speak float32. */
import { checked, reader } from "./bundle.js";
import { CvaeEdgeError, require } from "./errors.js";
import { roundEven } from "./rounding.js";

const FOLDER = new URL("../onnxruntime-web/", import.meta.url);
const TABLE = "onnxruntime-web.json"; // its version, builds, and each file's SHA-256
const MOST_THREADS = 4; // of so small a model; more wait for each other

const engines = {}; // by provider: a page opens each once

/**
 * Open onnxruntime.
 *
 * @param options.executionProviders names by preference, of "webgpu" and "wasm"; by default WebGPU
 *   where the browser has a graphics card for it, else wasm
 * @param options.ort onnxruntime's module, to use instead of the files beside this one; in Node
 *   that of onnxruntime-node
 */
export async function openEngine({ executionProviders, ort } = {}) {
  if (ort) return new Engine(ort, executionProviders ?? ["cpu"], 1);
  if (!globalThis.location) {
    throw new CvaeEdgeError("Node needs onnxruntime-node: give its module as the option ort");
  }
  if (typeof WebAssembly !== "object") {
    throw new CvaeEdgeError(
      "this browser has no WebAssembly, which models need: use a current one",
    );
  }
  const [provider] = executionProviders ?? [(await hasWebGPU()) ? "webgpu" : "wasm"];
  const known = ["webgpu", "wasm"];
  require(known.includes(provider), `executionProviders must be of ${known.join(", ")}`, provider);
  engines[provider] ??= openBuild(provider);
  return engines[provider];
}

/** Whether this browser has WebGPU, on more than its processor. */
export async function hasWebGPU() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
}

async function openBuild(provider) {
  const read = reader(new URL("./", import.meta.url));
  const table = JSON.parse(new TextDecoder().decode(await read(TABLE)));
  const { module, wasm } = table.builds[provider];
  const own = reader(FOLDER);
  const verified = async (name) => checked(await own(name), name, table.files[name].sha256);
  const parts = [import(new URL(module, FOLDER)), verified(wasm), verified(module)];
  const [ort, wasmBinary] = await Promise.all(parts).catch((error) =>
    missing(error, table.version),
  );
  const cores = globalThis.crossOriginIsolated ? (navigator.hardwareConcurrency ?? 1) : 1;
  const threads = Math.min(MOST_THREADS, cores); // without isolation a page has no shared memory
  ort.env.wasm.wasmBinary = wasmBinary.buffer;
  ort.env.wasm.numThreads = threads;
  return new Engine(ort, provider === "webgpu" ? ["webgpu", "wasm"] : ["wasm"], threads);
}

function missing(error, version) {
  if (error instanceof CvaeEdgeError && !error.message.includes("cannot be read")) throw error;
  throw new CvaeEdgeError(
    `the folder onnxruntime-web must hold onnxruntime-web ${version}: npm pack ` +
      `onnxruntime-web@${version}, then make the page again with --onnxruntime-web FILE.tgz`,
  );
}

/** onnxruntime with its settings. */
class Engine {
  constructor(ort, providers, threads) {
    this.ort = ort;
    this.provider = providers[0];
    this.providers = providers;
    this.threads = threads;
  }

  /** Open an artifact of which `bytes` are the checked file. */
  async open(artifact, bytes) {
    const options = {
      executionProviders: this.providers,
      intraOpNumThreads: this.threads,
      logSeverityLevel: 3, // errors: warnings speak of what no user can change
    };
    const session = await this.ort.InferenceSession.create(bytes, options).catch((error) => {
      throw new CvaeEdgeError(`${artifact.file} cannot be run here: ${error.message ?? error}`);
    });
    return new Session(this.ort, session, artifact);
  }
}

/** A graph that takes and gives float32, whatever its file does; one run at a time. */
class Session {
  #last = Promise.resolve();

  constructor(ort, session, artifact) {
    Object.assign(this, { ort, session, artifact });
  }

  /** Run n rows: Float32Array by input, to Float32Array by output. */
  run(inputs, n) {
    const turn = this.#last.then(() => this.#run(inputs, n));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #run(inputs, n) {
    const feeds = Object.fromEntries(
      this.artifact.inputs.map((tensor) => {
        const data = quantize(inputs[tensor.name], tensor);
        const shape = [n, ...tensor.shape.slice(1)];
        return [tensor.name, new this.ort.Tensor(tensor.dtype, data, shape)];
      }),
    );
    const outputs = await this.session.run(feeds);
    return Object.fromEntries(
      this.artifact.outputs.map((tensor) => {
        const values = dequantize(outputs[tensor.name].data, tensor);
        return [tensor.name, finite(values, tensor.name, this.artifact.file)];
      }),
    );
  }

  async release() {
    await this.#last;
    await this.session.release?.();
  }
}

const INTEGERS = { int8: [Int8Array, -128, 127], uint8: [Uint8Array, 0, 255] };

/** integer = round(real / scale) + zero_point, where the file's input is of integers. */
export function quantize(values, { name, dtype, scale, zero_point: zero }) {
  if (dtype === "float32") return values;
  require(dtype in INTEGERS && scale > 0, `${name} must be float32, int8 or uint8`, dtype);
  const [type, low, high] = INTEGERS[dtype];
  return type.from(values, (real) =>
    Math.min(high, Math.max(low, roundEven(Math.fround(real / scale)) + zero)),
  );
}

/** real = scale * (integer - zero_point), where the file's output is of integers. */
export function dequantize(values, { name, dtype, scale, zero_point: zero }) {
  if (dtype === "float32") return values;
  require(dtype in INTEGERS && scale > 0, `${name} must be float32, int8 or uint8`, dtype);
  return Float32Array.from(values, (integer) => scale * (integer - zero));
}

function finite(values, name, file) {
  if (values.every(Number.isFinite)) return values;
  throw new CvaeEdgeError(`${file} must give finite numbers, its ${name} holds NaN or infinity`);
}
