/** The page: its parts, and the model that they share. */
import { Bundle, EdgeCVAE, hasWebGPU } from "../cvae-edge/cvae-edge.js";
import { newest } from "./draw.js";
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
  precision: query.get("precision"), // null: not asked for
  provider: query.get("provider"),
};
let bundle;
let model;
let chosenImage;
let chosenLatent;

const grid = new Grid($("grid"), (z, image) => {
  [chosenLatent, chosenImage] = [z, image];
  return walk.from(z);
});
const walk = new Walk(
  {
    image: $("walk-image"),
    sliders: $("sliders"),
    more: $("more"),
    play: $("play"),
    reset: $("reset"),
  },
  () => grid.latent(Math.floor(Math.random() * grid.count)),
);
const own = new Own(
  {
    section: $("own"),
    pad: $("pad"),
    seen: $("seen"),
    recon: $("recon"),
    difference: $("difference"),
    score: $("score"),
    upload: $("upload"),
    take: $("take"),
    clear: $("clear"),
  },
  () => chosenImage,
  fail,
);
const files = new Files($("files"), (precision) => change({ precision }));

/** Load what is asked for and show it; where that fails, go on with what there was. */
const change = newest(async (settings) => {
  const before = { ...state };
  Object.assign(state, settings);
  $("error").hidden = true;
  delete document.body.dataset.error;
  try {
    const [old, next] = [model, await load()];
    model = next;
    await showAll();
    await old?.release();
  } catch (error) {
    Object.assign(state, before);
    fail(error);
  }
});

/** Load the model that `state` asks for; where nothing is asked for, what is best here. */
async function load() {
  $("running").textContent = "Loading the model …";
  bundle ??= await Bundle.open(BUNDLE);
  const decoders = bundle.manifest.artifacts.filter(
    (a) => a.format === "onnx" && a.role === "decoder",
  );
  const there = decoders.map((artifact) => artifact.precision);
  const usual = there.includes("float32") ? "float32" : there[0];
  const precision = state.precision ?? usual;
  if (state.provider || !(await hasWebGPU())) {
    return EdgeCVAE.load(bundle, { precision, executionProviders: [state.provider ?? "wasm"] });
  }
  const wasm = () => EdgeCVAE.load(bundle, { precision, executionProviders: ["wasm"] });
  return EdgeCVAE.load(bundle, { precision, executionProviders: ["webgpu"] }).catch(wasm);
}

async function showAll() {
  describe();
  await showGrid();
  await walk.use(model, chosenLatent);
  $("own").hidden = !model.files.encoder;
  if (model.files.encoder) await own.use(model, chosenImage);
  const shown = model;
  const milliseconds = await millisecondsOf(shown);
  if (shown !== model) return;
  files.put(shown.files.decoder.precision, milliseconds);
  running(milliseconds);
}

function describe() {
  const { name, model: shape } = model.manifest;
  $("name").textContent = document.title = name;
  $("facts").textContent =
    `A convolutional variational autoencoder of ${shape.image_shape.join(" × ")} images with ` +
    `${shape.latent_dim} latents. It runs in this browser.`;
  choices();
  running();
}

/** Show what can be chosen, and what was. */
function choices() {
  files.show(model.manifest, model.files.decoder.precision);
  $("provider").value = model.engine.provider;
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
  $("same").textContent = `cvae-edge generate --seed ${seed}${start ? ` --start ${start}` : ""}`;
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
  if (model) {
    choices();
    running();
  } else $("running").textContent = "";
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
  $("dice").addEventListener("click", () =>
    go({ seed: Math.floor(Math.random() * 1e6), start: 0 }),
  );
  $("back").addEventListener("click", () => go({ start: Math.max(0, state.start - grid.count) }));
  $("next").addEventListener("click", () => go({ start: state.start + grid.count }));
  $("provider").addEventListener("change", ({ target }) => change({ provider: target.value }));
  $("measure").addEventListener("click", async ({ target }) => {
    target.disabled = true;
    await files.measure(bundle, { executionProviders: [model.engine.provider] }).catch(fail);
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
