/** A grid of images from a seed; one of them is chosen. */
import { paint, row } from "./draw.js";
import { standardNormal } from "../cvae-edge/cvae-edge.js";

const COUNTS = [
  [32 * 32, 64],
  [64 * 64, 36],
  [Infinity, 16],
]; // images, by pixels of one

export class Grid {
  #model;
  #z;
  #turn = 0;

  /** @param onChoose called with a latent and its image */
  constructor(root, onChoose) {
    this.root = root;
    this.onChoose = onChoose;
    this.chosen = 0;
    root.addEventListener("click", ({ target }) => this.#choose(this.#place(target)));
    root.addEventListener("keydown", (event) => this.#move(event));
  }

  /** How many images it has. */
  get count() {
    return this.root.children.length;
  }

  /** The latent of image i, as {data, shape}. */
  latent(i) {
    return row(this.#z, i % this.count).data;
  }

  /** Show images `start` onwards of a seed; `onFirst` is called once the first image stands. */
  async show(model, seed, start, onFirst = () => {}) {
    const turn = ++this.#turn;
    this.#model = model;
    this.#build(model);
    const eps = standardNormal(this.count, model.latentDim, { seed, start });
    const z = await model.prior(eps);
    if (turn !== this.#turn) return;
    this.#z = z;
    for (let low = 0; low < this.count; low += low ? model.chunk : 1) {
      const count = Math.min(low ? model.chunk : 1, this.count - low);
      const size = model.latentDim;
      const data = this.#z.data.slice(low * size, (low + count) * size);
      const images = await model.decode({ data, shape: [count, size] });
      if (turn !== this.#turn) return;
      for (let i = 0; i < count; i++) this.#paint(low + i, row(images, i));
      if (low === 0) onFirst();
    }
    await this.#choose(this.chosen);
  }

  #build(model) {
    const [height, width] = model.imageShape;
    const [, count] = COUNTS.find(([pixels]) => height * width <= pixels);
    if (this.count === count) return;
    this.root.style.setProperty("--columns", Math.sqrt(count));
    this.root.replaceChildren(
      ...Array.from({ length: count }, (_, i) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("role", "radio");
        button.setAttribute("aria-label", `Image ${i + 1}`);
        button.append(document.createElement("canvas"));
        return button;
      }),
    );
  }

  #paint(i, image) {
    paint(this.root.children[i].firstChild, image);
  }

  #place(target) {
    return [...this.root.children].indexOf(target.closest("button"));
  }

  async #choose(i) {
    if (i < 0 || !this.#z) return;
    this.chosen = i;
    [...this.root.children].forEach((button, at) => {
      button.setAttribute("aria-checked", at === i);
      button.tabIndex = at === i ? 0 : -1;
    });
    const z = this.latent(i);
    const images = await this.#model.decode({ data: z.slice(), shape: [1, z.length] });
    if (this.chosen === i) this.onChoose(z.slice(), row(images, 0));
  }

  #move(event) {
    const columns = Math.sqrt(this.count);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const i = this.#place(event.target) + (steps[event.key] ?? NaN);
    if (!(i >= 0 && i < this.count)) return;
    event.preventDefault();
    this.root.children[i].focus();
    this.#choose(i);
  }
}
