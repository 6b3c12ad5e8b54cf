/**
 * Answers to requests in JSON, one after the other, from the module in Node.
 *
 *     node answer.js WEB REQUESTS.json ANSWERS.json
 *
 * A request has `call` and what it needs; arrays are {data, shape}, bytes where `bytes` is true.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [web, requests, answers] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(web, "cvae-edge", name)));
const { EdgeCVAE, standardNormal } = await load("cvae-edge.js");
const { fitImage } = await load("pixels.js");
const { makeLikelihood } = await load("likelihoods.js");
const models = {};

const calls = {
  noise: ({ n, latentDim, seed, start, sample }) =>
    standardNormal(n, latentDim, {
      seed: BigInt(seed),
      start: BigInt(start),
      sample: BigInt(sample),
    }),
  fit: ({ image, pixels }) => fitImage(array(image), pixels).data,
  likelihood: ({ x, logits, entry, channels }) => [
    makeLikelihood(entry, channels)(array(x).data, array(logits).data),
  ],
  verb: async ({ bundle, precision, verb, args, options }) => {
    const model = await modelOf(bundle, precision);
    return model[verb](...args.map((arg) => (arg?.data ? array(arg) : arg)), options);
  },
};

async function modelOf(bundle, precision) {
  const { default: ort } = await import("onnxruntime-node");
  models[bundle + precision] ??= EdgeCVAE.load(pathToFileURL(bundle), { precision, ort });
  return models[bundle + precision];
}

function array({ data, shape, bytes }) {
  return { data: bytes ? Uint8Array.from(data) : Float32Array.from(data), shape };
}

function plain(value) {
  if (ArrayBuffer.isView(value)) return [...value];
  if (Array.isArray(value) || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

const found = [];
for (const request of JSON.parse(await readFile(requests, "utf8"))) {
  try {
    found.push({ value: plain(await calls[request.call](request)) });
  } catch (error) {
    found.push({ error: error.message });
  }
}
await writeFile(answers, JSON.stringify(found));
process.exit(0); // onnxruntime-node's threads would keep it waiting
