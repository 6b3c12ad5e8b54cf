/** Sliders that walk the latent space from a chosen image. */
import { interpolateLatents } from "../cvae-edge/cvae-edge.js";
import { newest, paint, row } from "./draw.js";

const SHOWN = 8; // latents that change an image most
const REACH = 3.5; // standard deviations
const PROBE = 1.5; // by which a latent is moved to see what it changes
const FRAMES = 120; // from one image to the next

export class Walk {
  #model;
  #start;
  #z;
  #playing = false;

  /** @param nextLatent gives a latent to wander to */
  constructor(elements, nextLatent) {
    Object.assign(this, elements); // image, sliders, more, play, reset
    this.nextLatent = nextLatent;
    this.inputs = [];
    this.draw = newest(() => this.#draw());
    this.reset.addEventListener("click", () => this.from(this.#start));
    this.play.addEventListener("click", () => this.#toggle());
    this.more.addEventListener("click", () => this.#showAll());
    this.sliders.addEventListener("input", ({ target }) => this.#slide(target));
  }

  /** Make sliders for a model, those first that change its images most. */
  async use(model, z) {
    this.#model = model;
    if (this.inputs.length === model.latentDim) return this.draw();
    const order = await strongest(model, z);
    const rows = order.map((latent, at) => slider(latent, at >= SHOWN));
    this.inputs = rows.map((label) => label.querySelector("input"));
    this.sliders.replaceChildren(...rows);
    this.more.textContent = `All ${model.latentDim} latents`;
    this.more.hidden = model.latentDim <= SHOWN;
    this.#follow();
    return this.draw();
  }

  /** Start at a latent. */
  from(z) {
    this.#stop();
    this.#start = z;
    this.#z = z.slice();
    this.#follow();
    return this.draw();
  }

  async #draw() {
    if (!this.#model || !this.#z) return;
    const shape = [1, this.#z.length];
    const images = await this.#model.decode({ data: this.#z.slice(), shape });
    paint(this.image, row(images, 0));
  }

  #slide(input) {
    this.#stop();
    this.#z[Number(input.dataset.latent)] = Number(input.value);
    input.nextElementSibling.textContent = words(Number(input.value));
    this.draw();
  }

  /** Set the sliders to where z is. */
  #follow() {
    for (const input of this.#z ? this.inputs : []) {
      const value = this.#z[Number(input.dataset.latent)];
      input.value = value;
      input.nextElementSibling.textContent = words(value);
    }
  }

  #showAll() {
    for (const label of this.sliders.children) label.hidden = false;
    this.more.hidden = true;
  }

  #stop() {
    this.#playing = false;
    this.play.setAttribute("aria-pressed", "false");
    this.play.textContent = "Wander";
  }

  async #toggle() {
    if (this.#playing || !this.#z) return this.#stop();
    this.#playing = true;
    this.play.setAttribute("aria-pressed", "true");
    this.play.textContent = "Stop";
    while (this.#playing) {
      const size = this.#z.length;
      const way = interpolateLatents(this.#z, this.nextLatent(), FRAMES);
      for (let frame = 0; frame < FRAMES && this.#playing; frame++) {
        await new Promise(requestAnimationFrame);
        if (!this.#playing) break;
        const eased = Math.round((FRAMES - 1) * ease(frame / (FRAMES - 1)));
        this.#z = way.slice(eased * size, (eased + 1) * size);
        this.#follow();
        await this.draw();
      }
    }
  }
}

function words(value) {
  return value.toFixed(1).replace("-0.0", "0.0").replace("-", "−");
}

function ease(t) {
  return t * t * (3 - 2 * t);
}

function slider(latent, hidden) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  name.textContent = `z${latent + 1}`;
  const input = document.createElement("input");
  Object.assign(input, { type: "range", min: -REACH, max: REACH, step: 0.05 });
  input.dataset.latent = latent;
  input.setAttribute("aria-label", `Latent ${latent + 1}`);
  label.append(name, input, document.createElement("output"));
  label.hidden = hidden;
  return label;
}

/** Return the latents, those first that change the image of z most. */
async function strongest(model, z) {
  const images = [];
  for (let low = 0; low < z.length; low += model.chunk) {
    const count = Math.min(model.chunk, z.length - low);
    const data = new Float32Array(count * z.length);
    for (let i = 0; i < count; i++) {
      data.set(z, i * z.length);
      data[i * z.length + low + i] -= Math.sign(z[low + i] || 1) * PROBE; // towards the middle
    }
    const decoded = await model.decode({ data, shape: [count, z.length] });
    for (let i = 0; i < count; i++) images.push(row(decoded, i).data);
    await new Promise((resolve) => setTimeout(resolve)); // the page stays responsive
  }
  const here = (await model.decode({ data: z.slice(), shape: [1, z.length] })).data;
  const change = images.map((image) => image.reduce((sum, v, i) => sum + Math.abs(v - here[i]), 0));
  return [...change.keys()].sort((a, b) => change[b] - change[a]);
}
