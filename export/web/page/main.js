/** The page: its parts, and the model that they share. */
import { EdgeCVAE, hasWebGPU } from "../cvae-edge/cvae-edge.js";
import { Files, millisecondsOf } from "./files.js";
import { Grid } from "./grid.js";
import { Own } from "./own.js";
import { Walk } from "./walk.js";

const BUNDLE = "bundle/";
const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const state = {
  seed: whole(query.get("seed")),
  start: whole(query.get("start")),
  precision: query.get("precision"),
  provider: query.get("provider"),
};
let model;
let chosenImage;
let chosenLatent;

const grid = new Grid($("grid"), (z, image) => {
  [chosenLatent, chosenImage] = [z, image];
  return walk.from(z);
});
const walk = new Walk(
  { image: $("walk-image"), sliders: $("sliders"), more: $("more"), play: $("play"), reset: $("reset") },
  () => grid.latent(Math.floor(Math.random() * grid.count)),
);
const own = new Own(
  {
    section: $("own"), pad: $("pad"), seen: $("seen"), recon: $("recon"),
    difference: $("difference"), score: $("score"), upload: $("upload"), take: $("take"),
    clear: $("clear"),
  },
  () => chosenImage,
  fail,
);
const files = new Files($("files"), (precision) => change({ precision }));

async function change(settings) {
  Object.assign(state, settings);
  const next = await load().catch(fail);
  if (!next) return;
  const before = model;
  model = next;
  await showAll().catch(fail);
  await before?.release();
}

/** Load the model that `state` asks for; without a precision, the first that the bundle has. */
async function load() {
  $("running").textContent = "Loading the model …";
  const executionProviders = state.provider ? [state.provider] : undefined;
  const precision = state.precision ?? "float32";
  return EdgeCVAE.load(BUNDLE, { precision, executionProviders });
}

async function showAll() {
  state.precision = model.files.decoder?.precision ?? state.precision;
  state.provider = model.engine.provider;
  describe();
  await showGrid();
  await walk.use(model, chosenLatent);
  if (model.files.encoder) await own.use(model, chosenImage);
  else $("own").hidden = true;
  const milliseconds = await millisecondsOf(model);
  files.put(state.precision, milliseconds);
  running(milliseconds);
}

function describe() {
  const { name, model: shape } = model.manifest;
  $("name").textContent = document.title = name;
  $("facts").textContent =
    `A convolutional variational autoencoder of ${shape.image_shape.join(" × ")} images with ` +
    `${shape.latent_dim} latents. It runs in this browser.`;
  files.show(model.manifest, state.precision);
  $("provider").value = state.provider;
  running();
}

function running(milliseconds) {
  const { provider, threads } = model.engine;
  const on = provider === "webgpu" ? "WebGPU" : `wasm, ${threads} thread${threads > 1 ? "s" : ""}`;
  const speed = milliseconds ? ` · ${milliseconds.toFixed(2)} ms an image` : "";
  $("running").textContent = `${model.files.decoder.file} · ${on}${speed}`;
}

async function showGrid() {
  const { seed, start } = state;
  $("seed").value = seed;
  $("back").disabled = start === 0;
  $("same").textContent =
    `cvae-edge generate --seed ${seed}${start ? ` --start ${start}` : ""}`;
  const shared = new URLSearchParams(
    Object.entries(state).filter(([, value]) => value !== null && value !== 0),
  );
  history.replaceState(null, "", `?${shared}`);
  await grid.show(model, seed, start, () => {
    document.body.dataset.ready ??= Math.round(performance.now()); // milliseconds since navigation
  });
}

function fail(error) {
  const sentence = error.message ?? String(error);
  $("error").textContent = sentence;
  $("error").hidden = false;
  if (!model) $("running").textContent = "";
  else running();
  document.body.dataset.error = sentence;
}

function whole(text) {
  const value = Number(text ?? 0);
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

function listen() {
  const show = () => showGrid().catch(fail);
  const go = (settings) => {
    Object.assign(state, settings);
    return show();
  };
  $("seed").addEventListener("change", ({ target }) => go({ seed: whole(target.value), start: 0 }));
  $("dice").addEventListener("click", () => go({ seed: Math.floor(Math.random() * 1e6), start: 0 }));
  $("back").addEventListener("click", () => go({ start: Math.max(0, state.start - grid.count) }));
  $("next").addEventListener("click", () => go({ start: state.start + grid.count }));
  $("provider").addEventListener("change", ({ target }) => change({ provider: target.value }));
  $("measure").addEventListener("click", async ({ target }) => {
    target.disabled = true;
    await files.measure(BUNDLE, { executionProviders: [state.provider] }).catch(fail);
    target.disabled = false;
  });
}

/** Keep what was loaded, so that the page opens without a network the next time. */
async function keep() {
  if (!navigator.serviceWorker) return; // from a server without https
  await navigator.serviceWorker.register("service-worker.js");
  const { active } = await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => ($("offline").textContent = "The page works offline now.");
  active.postMessage([location.href.split("?")[0], ...loaded], [port2]);
}

listen();
await change({});
if (model) {
  $("provider-label").hidden = !(await hasWebGPU());
  await keep().catch(() => {}); // a page that is not kept is a page nevertheless
}
