/**
 * The module's parts that need no model, against golden values; `node --test` runs it.
 *
 * WEB is the folder of the sources, BUNDLE a bundle of format_version 2.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const { WEB, BUNDLE } = process.env;
const load = (name) => import(pathToFileURL(join(WEB, "cvae-edge", name)));
const { Bundle, parseManifest } = await load("bundle.js");
const { canonical } = await load("canonical.js");
const { dequantize, quantize } = await load("engine.js");
const { interpolateLatents } = await load("latents.js");
const { makeLikelihood, unit } = await load("likelihoods.js");
const { philox, standardNormal } = await load("noise.js");
const { fromRGBA, prepare, whiten } = await load("pixels.js");
const { roundEven } = await load("rounding.js");
const { digest, sha256 } = await load("sha256.js");

const bundleUrl = pathToFileURL(BUNDLE);
const text = await readFile(join(BUNDLE, "manifest.json"), "utf8");
const bytes = (string) => new TextEncoder().encode(string);
const pixels = { image_shape: [1, 2, 1], fit: "stretch", background: "#ffffff", binarize: "none" };

test("the README's noise comes out", () => {
  const golden = [0.15853384, 2.9828794, -1.925692, -0.82492554].map(Math.fround);
  assert.deepEqual([...standardNormal(1, 50).slice(0, 4)], golden);
});

test("Philox gives the words of its authors' known answers", () => {
  const ones = (1n << 64n) - 1n;
  assert.deepEqual(philox(0n, 0n, 0n), [
    0x16554d9eca36314cn,
    0xdb20fe9d672d0fdcn,
    0xd7e772cee186176bn,
    0x7e68b68aec7ba23bn,
  ]);
  assert.deepEqual(philox((1n << 256n) - 1n, ones, ones), [
    0x87b092c3013fe90bn,
    0x438c3c67be8d0224n,
    0x9cc7d7c69cd777b6n,
    0xa09caebf594f0ba0n,
  ]);
});

test("an image's noise does not depend on its batch", () => {
  const all = standardNormal(5, 7, { seed: 3 });
  assert.deepEqual(standardNormal(2, 7, { seed: 3, start: 3 }), all.slice(21));
});

test("seeds beyond 2^53 are BigInts, and others are refused", () => {
  assert.equal(standardNormal(1, 3, { seed: 2n ** 64n - 1n }).length, 3);
  for (const seed of [-1, 0.5, 2 ** 53, 2n ** 64n, "1", NaN]) {
    assert.throws(() => standardNormal(1, 3, { seed }), /seed must be a whole number/);
  }
  assert.throws(() => standardNormal(0, 3), /at least 1/);
});

test("SHA-256 without the browser's is the same", async () => {
  for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 100_000]) {
    const content = Uint8Array.from({ length: size }, (_, i) => i % 251);
    assert.equal(Buffer.from(digest(content)).toString("hex"), await sha256(content));
  }
});

test("canonical JSON keeps numbers as they are written, and sorts as Python does", () => {
  const written =
    '{"b": 1e-05, "a": [1.0, {"z": "\\u00e9\\"\\n", "\u{1f600}": null, "\uffff": true}], "c": 2}';
  const sorted = '{"a":[1.0,{"z":"\\u00e9\\"\\n","\\uffff":true,"\\ud83d\\ude00":null}],"b":1e-05}';
  assert.equal(canonical(written, "c"), sorted);
});

test("a manifest opens, and each change of it is found", async () => {
  assert.equal((await parseManifest(bytes(text))).format_version, 2);
  const changes = {
    digest: text.replace('"latent_dim": ', '"latent_dim": 1'),
    "format_version must be 1 or 2": text.replace('"format_version": 2', '"format_version": 3'),
    "must be JSON": text.slice(0, -9),
    "must be an object": "[]",
  };
  for (const [rule, changed] of Object.entries(changes)) {
    await assert.rejects(parseManifest(bytes(changed)), new RegExp(rule));
  }
});

test("a manifest with a right digest is checked all the same", async () => {
  const wrong = {
    "image_shape of three sizes": (m) => (m.model.image_shape = [8, 8]),
    "fit must be": (m) => (m.pixels.fit = "tile"),
    "background must be": (m) => (m.pixels.background = "red"),
    "a file's name": (m) => (m.artifacts[0].file = "../secret"),
    "sha256 must be": (m) => (m.artifacts[0].sha256 = "1"),
    "artifacts must be": (m) => (m.artifacts = null),
    "likelihood must have": (m) => (m.likelihood = {}),
  };
  for (const [rule, change] of Object.entries(wrong)) {
    const manifest = JSON.parse(text);
    change(manifest);
    manifest.digest = await sha256(bytes(canonical(JSON.stringify(manifest), "digest")));
    await assert.rejects(parseManifest(bytes(JSON.stringify(manifest))), new RegExp(rule), rule);
  }
});

test("a file that was changed is refused, one that is missing named", async () => {
  const { read } = await Bundle.open(bundleUrl);
  const changed = async (name) => {
    const content = Uint8Array.from(await read(name));
    if (name !== "manifest.json") content[100] ^= 1;
    return content;
  };
  const bundle = await Bundle.open(changed);
  const artifact = bundle.find("decoder", "float32");
  await assert.rejects(bundle.bytes(artifact), /decoder.onnx was changed or damaged/);
  await assert.rejects(Bundle.open(new URL("nothing/", bundleUrl)), /manifest.json cannot be read/);
});

test("integers are rounded to even, clipped, and come back", () => {
  const tensor = { name: "x", dtype: "int8", scale: 0.5, zero_point: -3 };
  const values = Float32Array.from([0, 0.25, 0.75, -0.25, -0.75, 1000, -1000]);
  assert.deepEqual([...quantize(values, tensor)], [-3, -3, -1, -3, -5, 127, -128]);
  assert.deepEqual([...dequantize(Int8Array.of(-3, 127), tensor)], [0, 65]);
  const odd = { ...tensor, dtype: "int32" };
  assert.throws(() => quantize(values, odd), /x must be float32, int8 or uint8/);
});

test("halves are rounded to even", () => {
  assert.deepEqual(
    [-2.5, -1.5, -0.5, 0.5, 1.5, 2.4].map((v) => roundEven(v) + 0),
    [-2, -2, 0, 0, 2, 2],
  );
});

test("a canvas' pixels keep the channels that say something", () => {
  const grey = fromRGBA(Uint8Array.of(7, 7, 7, 255, 9, 9, 9, 255), 2, 1);
  assert.deepEqual(grey, { data: Uint8Array.of(7, 9), shape: [1, 2, 1] });
  const clear = fromRGBA(Uint8Array.of(7, 7, 8, 255, 9, 9, 9, 0), 2, 1);
  assert.deepEqual(clear, { data: Uint8Array.of(7, 7, 8, 255, 0, 0, 0, 0), shape: [1, 2, 4] });
});

test("masks of 0 and 1 are taken for black and white, nothing else is", () => {
  const white = (data, shape = [1, 1, 3, 1]) => [...whiten({ data, shape }).data];
  assert.deepEqual(white(Uint8Array.of(0, 1, 0)), [0, 255, 0]);
  assert.deepEqual(white(Uint8Array.of(0, 2, 0)), [0, 2, 0]);
  assert.deepEqual(white(Float32Array.of(0, 1 / 65535, 0)), [0, 1, 0]);
  assert.deepEqual(white(Uint8Array.of(1, 9, 0, 255), [1, 1, 2, 2]), [255, 9, 0, 255]);
});

test("images that a model does not take are refused by the rule", () => {
  const wrong = [
    [undefined, /must be {data, shape}/],
    [{ data: [0, 1], shape: [1, 2, 1] }, /must be {data, shape}/],
    [{ data: new Float32Array(2), shape: [2, 1, 1] }, /the model takes images of/],
    [{ data: new Float32Array(3), shape: [1, 2, 1] }, /must have 2 values, got 3/],
    [{ data: Float32Array.of(0, 1.5), shape: [1, 2, 1] }, /must lie in \[0, 1\]/],
    [{ data: Float32Array.of(0, NaN), shape: [1, 2, 1] }, /must lie in \[0, 1\]/],
  ];
  for (const [images, rule] of wrong) assert.throws(() => prepare(images, pixels), rule);
  const binary = { ...pixels, binarize: "threshold" };
  const image = { data: Uint8Array.of(127, 128), shape: [1, 2, 1] };
  assert.deepEqual(prepare(image, binary), Float32Array.of(0, 1));
});

test("an unknown likelihood is refused when it is asked, a wrong scale at once", () => {
  const later = makeLikelihood({ name: "beta", scale: [] }, 1);
  assert.throws(() => later([], []), /scores need the likelihood 'beta'/);
  const scales = { bernoulli: [1], gaussian: [], logistic: [0.1, -1] };
  for (const [name, scale] of Object.entries(scales)) {
    assert.throws(() => makeLikelihood({ name, scale }, 2), /scales above 0/);
  }
  assert.equal(unit("gaussian", "none"), "nats (density)");
});

test("ways between latents keep their ends, and refuse other paths", () => {
  const [a, b] = [Float32Array.of(1, 0), Float32Array.of(0, 2)];
  const way = interpolateLatents(a, b, 3);
  assert.deepEqual(
    [...way.slice(0, 2), ...way.slice(4)].map((v) => Math.fround(v)),
    [1, 0, 0, 2],
  );
  const same = interpolateLatents(a, a, 3);
  assert.deepEqual(same, Float32Array.of(1, 0, 1, 0, 1, 0));
  assert.throws(() => interpolateLatents(a, b, 1), /steps must be at least 2/);
  assert.throws(() => interpolateLatents(a, b, 3, "arc"), /path must be spherical or linear/);
});
