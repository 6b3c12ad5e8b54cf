// One file in one engine of npm's, for targets.py, which says what is asked and answered:
//
//     node targets_node.mjs ENGINE NODE_MODULES < requests > answers
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";

const [engine, modules] = process.argv.slice(2);
const require = createRequire(join(modules, "x.js"));
const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

async function onnxruntime(ort, job, executionProviders) {
  const options = { executionProviders, intraOpNumThreads: 1 };
  const session = await ort.InferenceSession.create(readFileSync(job.file), options);
  return async (x) => {
    const feeds = {};
    for (const { name, shape } of job.inputs) feeds[name] = new ort.Tensor("float32", x[name], shape);
    const given = await session.run(feeds);
    return Object.fromEntries(job.outputs.map(({ name }) => [name, given[name].data]));
  };
}

const engines = {
  onnxruntime_node: (job) => onnxruntime(require("onnxruntime-node"), job, ["cpu"]),

  async onnxruntime_web(job) {
    const ort = await import(pathToFileURL(join(modules, "onnxruntime-web/dist/ort.node.min.mjs")));
    ort.env.wasm.numThreads = 1;
    return onnxruntime(ort, job, ["wasm"]);
  },

  async litert_js(job) {
    // It is made for browsers: what it needs of one.
    const read = (url) => readFileSync(String(url).replace("file://", ""));
    const importScripts = (url) => runInThisContext(read(url).toString());
    const fetched = async (url) => new Response(read(url), { headers: { "Content-Type": "application/wasm" } });
    Object.assign(globalThis, { self: globalThis, importScripts, require, fetch: fetched });
    globalThis.__dirname = join(modules, "@litertjs/core/wasm");
    const core = join(modules, "@litertjs/core/dist/index.js");
    const { Tensor, loadAndCompile, loadLiteRt } = await import(pathToFileURL(core));
    await loadLiteRt(join(modules, "@litertjs/core/wasm/litert_wasm_internal.js"));
    const model = await loadAndCompile(new Uint8Array(readFileSync(job.file)), { accelerator: "wasm" });
    return async (x) => {
      const feeds = {};
      for (const { name, shape } of job.inputs) feeds[name] = new Tensor(x[name], shape);
      const given = await model.run(feeds);
      const values = job.outputs.map(({ name }) => [name, given[name].toTypedArray().slice()]);
      for (const tensor of [...Object.values(feeds), ...Object.values(given)]) tensor.delete();
      return Object.fromEntries(values);
    };
  },
};

function decoded(text, shape) {
  const bytes = Buffer.from(text, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset), 0, sizeOf(shape)).slice();
}

const encoded = (x) => Buffer.from(x.buffer, x.byteOffset, x.byteLength).toString("base64");

let job, run, last;

async function respond(request) {
  if (request.file) {
    job = request;
    run = await engines[engine](job);
    return { bytes: statSync(job.file).size };
  }
  if (request.run) {
    const { inputs, outputs } = job;
    const given = Object.fromEntries(outputs.map(({ name }) => [name, []]));
    const count = request.run[inputs[0].name].length;
    for (let i = 0; i < count; i++) {
      const of = ({ name, shape }) => [name, decoded(request.run[name][i], shape)];
      last = Object.fromEntries(inputs.map(of));
      for (const [name, y] of Object.entries(await run(last))) given[name].push(encoded(y));
    }
    return given;
  }
  const times = [];
  const end = performance.now() + request.seconds * 1000;
  while (performance.now() < end || times.length < 5) {
    const start = performance.now();
    await run(last);
    times.push(performance.now() - start);
  }
  const kept = times.slice(Math.floor(times.length / 5)).sort((a, b) => a - b);
  return { milliseconds: kept[Math.floor(kept.length / 2)] };
}

console.log = console.info = console.warn = console.error; // engines print as they please
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await respond(JSON.parse(line)).catch((error) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
