/** An image of the user's: drawn or opened, reconstructed, scored, and where it differs. */
import { fromRGBA, readImage } from "../cvae-edge/cvae-edge.js";
import { newest, paint, paintDifference } from "./draw.js";
import { Pad } from "./pad.js";

export class Own {
  #model;
  #image; // what was opened; null: what is drawn

  /** @param chosen gives the grid's chosen image; @param onError takes what went wrong */
  constructor(elements, chosen, onError) {
    Object.assign(this, elements); // section, pad, seen, recon, difference, score, upload, ...
    this.drawing = new Pad(this.pad, () => this.#show(null));
    this.judge = newest(() => this.#judge().catch(onError));
    const open = (file) => file && this.open(file).catch(onError);
    this.upload.addEventListener("change", () => {
      open(this.upload.files[0]);
      this.upload.value = ""; // so that the same file can be opened again
    });
    this.section.addEventListener("dragover", (event) => event.preventDefault());
    this.section.addEventListener("drop", (event) => {
      event.preventDefault();
      open(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", ({ clipboardData }) => open(clipboardData.files[0]));
    this.take.addEventListener("click", () => this.#take(chosen()));
    this.clear.addEventListener("click", () => this.#clear());
  }

  /** Use another model; what is shown is judged again. `image` is one that it generated. */
  use(model, image) {
    const before = this.#model?.imageShape;
    this.#model = model;
    if (String(before) === String(model.imageShape)) return this.judge();
    const brightness = image.data.reduce((sum, value) => sum + value, 0) / image.data.length;
    this.drawing.use(model.imageShape, brightness < 0.5);
    return this.#take(image);
  }

  /** Open an image file. */
  async open(file) {
    const image = await readImage(file);
    const canvas = document.createElement("canvas");
    paint(canvas, image);
    this.drawing.show(canvas);
    return this.#show(image);
  }

  #take(image) {
    const bytes = {
      data: Uint8Array.from(image.data, (v) => Math.round(255 * v)),
      shape: image.shape,
    };
    const canvas = document.createElement("canvas");
    paint(canvas, bytes);
    this.drawing.show(canvas);
    return this.#show(bytes);
  }

  #clear() {
    this.drawing.clear();
    return this.#show(null);
  }

  #show(image) {
    this.#image = image;
    return this.judge();
  }

  async #judge() {
    const model = this.#model;
    const picture = this.drawing.read();
    const image = this.#image ?? fromRGBA(picture.data, picture.width, picture.height);
    const fitted = model.fit(image);
    const seen = model.prepare(fitted);
    const recon = await model.reconstruct(fitted, { sample: false });
    const bounds = await model.bounds(fitted);
    paint(this.seen, { data: seen, shape: model.imageShape });
    paint(this.recon, recon);
    paintDifference(this.difference, seen, recon.data, model.imageShape);
    this.score.replaceChildren(...words(model, bounds));
    this.score.dataset.score = bounds.elbo_at_mean[0];
  }
}

function words(model, bounds) {
  const [score, reconstruction, kl] = [bounds.elbo_at_mean, bounds.reconstruction, bounds.kl].map(
    ([value]) => rounded(value),
  );
  const big = document.createElement("strong");
  big.textContent = `${score} ${model.unit}`;
  const sentences = [` is log p(x|z) ${reconstruction} less KL ${kl}.`];
  if (model.manifest.likelihood.name === "logistic") {
    const values = model.imageShape.reduce((product, side) => product * side, 1);
    const bits = -bounds.elbo_at_mean[0] / (values * Math.LN2);
    sentences.push(`That is ${bits.toFixed(2)} bits per dimension.`);
  }
  const elbo = model.files.decoder?.elbo;
  if (Number.isFinite(elbo)) {
    sentences.push(`Test images had ${rounded(elbo)} on average; far lower is unlike them.`);
  }
  if (bounds.squared_error) {
    const decibels = -10 * Math.log10(Math.max(bounds.squared_error[0], 1e-12));
    sentences.push(`The reconstruction's PSNR is ${rounded(decibels)} dB.`);
  }
  return [big, sentences.join(" ")];
}

function rounded(value) {
  return value.toFixed(1).replace("-", "−");
}
