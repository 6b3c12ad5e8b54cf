/**
 * A cvae_edge bundle in a browser, or in Node: images from seeds, latents from images, scores.
 *
 *     import { EdgeCVAE } from "./cvae-edge/cvae-edge.js";
 *     const model = await EdgeCVAE.load("bundle/", { precision: "int8" });
 *     const images = await model.generate(64, { seed: 0 }); // {data, shape: [64, 28, 28, 1]}
 *
 * The verbs are those of `cvae_edge.EdgeCVAE` in Python, and one seed gives the same noise.
 * cvae-edge.d.ts says what each takes and gives.
 */
import { Bundle } from "./bundle.js";
import { hasWebGPU, openEngine } from "./engine.js";
import { CvaeEdgeError, require } from "./errors.js";
import {
  interpolateLatents,
  klAnalytic,
  klSample,
  normalRatio,
  reparameterize,
} from "./latents.js";
import { makeLikelihood, probability, sigmoid, unit } from "./likelihoods.js";
import { standardNormal } from "./noise.js";
import { readImage } from "./photos.js";
import { fitImage, fromRGBA, prepare } from "./pixels.js";

export {
  Bundle,
  CvaeEdgeError,
  fromRGBA,
  hasWebGPU,
  interpolateLatents,
  readImage,
  standardNormal,
};

const CHUNK_PIXELS = 32 * 32 * 32; // of the images in one run, which bounds its memory

export class EdgeCVAE {
  #open;
  #sessions = {}; // by role: promises, made when a half is first needed
  #logProbability;

  /**
   * Made by `EdgeCVAE.load`.
   *
   * @param files the artifacts that run, by role
   * @param open opens one: a promise of its session
   */
  constructor(manifest, engine, files, open) {
    const { image_shape: imageShape, latent_dim: latentDim } = manifest.model;
    const [height, width, channels] = imageShape;
    Object.assign(this, { manifest, engine, files, imageShape, latentDim });
    this.unit = unit(manifest.likelihood.name, manifest.pixels.binarize);
    this.chunk = Math.max(1, Math.floor(CHUNK_PIXELS / (height * width)));
    this.#open = open;
    this.#logProbability = makeLikelihood(manifest.likelihood, channels);
  }

  static async load(source, options = {}) {
    const { precision = "float32" } = options;
    const opening = source instanceof Bundle ? source : Bundle.open(source);
    const [bundle, engine] = await Promise.all([opening, openEngine(options)]);
    const found = ["encoder", "decoder"].map((role) => [role, bundle.find(role, precision)]);
    const priors = options.prior === "standard" ? [] : ["prior", "density"];
    found.push(...priors.map((role) => [role, bundle.findPrior(role, precision)]));
    const files = Object.fromEntries(found.filter(([, artifact]) => artifact));
    const [first] = ["decoder", "encoder"].filter((role) => files[role]);
    if (!first) throw new CvaeEdgeError(none(bundle.manifest, precision));
    const open = async (artifact) => engine.open(artifact, await bundle.bytes(artifact));
    const model = new EdgeCVAE(bundle.manifest, engine, files, open);
    await model.#session(first); // so that a file that cannot be run is known at once
    return model;
  }

  #session(role) {
    const artifact = this.files[role];
    if (!artifact)
      throw new CvaeEdgeError(`${this.manifest.name} has no ${role} in this precision`);
    this.#sessions[role] ??= this.#open(artifact);
    return this.#sessions[role];
  }

  async generate(n = 1, { seed = 0, start = 0 } = {}) {
    return this.decode(await this.prior(standardNormal(n, this.latentDim, { seed, start })));
  }

  /** Return the latents of noise. Without a learned prior they are the noise itself. */
  async prior(eps) {
    const { z = eps } = this.files.prior ? await this.#run("prior", "eps", eps) : {};
    return { data: z, shape: [z.length / this.latentDim, this.latentDim] };
  }

  /** Return the noise that a learned prior makes latents (n, latentDim) of, and log_det. */
  async #density(z) {
    if (!this.files.prior) return { eps: z, log_det: new Float32Array(z.length / this.latentDim) };
    return this.#run("density", "z", z);
  }

  /** Return log p(z) less that of the standard normal, of each row. */
  async #priorGain(z) {
    const { eps, log_det: logDet } = await this.#density(z);
    const shape = [logDet.length, this.latentDim];
    const [zs, noises] = [z, eps].map((data) => rows({ data, shape }));
    return Float64Array.from(zs, (row, i) => logDet[i] + normalRatio(noises[i], row));
  }

  /** Make one 8-bit image of any size and channels what the model takes. */
  fit(image) {
    return fitImage(image, this.manifest.pixels);
  }

  /** Return what the encoder is fed of images: Float32Array in [0, 1], binarized if need be. */
  prepare(images) {
    return prepare(images, this.manifest.pixels);
  }

  async encode(images) {
    const x = this.prepare(images);
    const { mean, logvar } = await this.#run("encoder", "x", x);
    const shape = [mean.length / this.latentDim, this.latentDim];
    return { mean: { data: mean, shape }, logvar: { data: logvar, shape } };
  }

  async decode(z) {
    const { x_logits: logits } = await this.#run("decoder", "z", this.#latents(z));
    return { data: sigmoid(logits), shape: [z.shape[0], ...this.imageShape] };
  }

  async reconstruct(images, { seed = 0, sample = true } = {}) {
    const { mean, logvar } = await this.encode(images);
    if (!sample) return this.decode(mean);
    const eps = standardNormal(mean.shape[0], this.latentDim, { seed });
    const z = reparameterize(mean.data, logvar.data, eps);
    return this.decode({ data: z, shape: mean.shape });
  }

  async interpolate(a, b, { steps = 9, path = "spherical" } = {}) {
    const [from, to] = [(await this.encode(a)).mean, (await this.encode(b)).mean];
    require(from.shape[0] === to.shape[0], `b must be ${from.shape[0]} images as a is`, to
      .shape[0]);
    const { shape } = from;
    const [first, last] = [await this.#density(from.data), await this.#density(to.data)];
    const ends = rows({ data: last.eps, shape });
    const eps = rows({ data: first.eps, shape }).map((row, i) =>
      interpolateLatents(row, ends[i], steps, path),
    );
    const decoded = await this.decode(await this.prior(joined(eps)));
    return { data: decoded.data, shape: [eps.length, steps, ...this.imageShape] };
  }

  async score(images, options) {
    const bounds = await this.bounds(images, options);
    return bounds.iwae ?? bounds.elbo_at_mean;
  }

  async bounds(images, { samples = 0, seed = 0 } = {}) {
    require(Number.isInteger(samples) && samples >= 0, "samples must be 0 or more", samples);
    const x = this.prepare(images);
    const { mean, logvar } = await this.#run("encoder", "x", x);
    const shape = [mean.length / this.latentDim, this.latentDim];
    const posterior = [mean, logvar].map((data) => rows({ data, shape }));
    const kl = Float64Array.from(posterior[0], (row, i) => klAnalytic(row, posterior[1][i]));
    if (samples) return this.#sampled(x, posterior, samples, seed, kl);
    const [{ logPx, error }, gain] = [await this.#likelihood(x, mean), await this.#priorGain(mean)];
    gain.forEach((value, i) => (kl[i] -= value));
    const elbo = logPx.map((value, i) => value - kl[i]);
    return this.#withError({ elbo_at_mean: elbo, reconstruction: logPx, kl }, error);
  }

  /** The bounds of `samples` draws; every image has the noise of image 0. */
  async #sampled(x, [means, logvars], samples, seed, standardKl) {
    const sums = [0, 1, 2, 3].map(() => new Float64Array(means.length));
    const [total, reconstruction, error, gain] = sums;
    const logSum = new Float64Array(means.length).fill(-Infinity);
    for (let sample = 0; sample < samples; sample++) {
      const eps = standardNormal(1, this.latentDim, { seed, sample });
      const z = means.map((mean, i) => reparameterize(mean, logvars[i], eps));
      const drawn = await this.#likelihood(x, joined(z));
      const gained = await this.#priorGain(joined(z));
      z.forEach((row, i) => {
        const logWeight = drawn.logPx[i] - klSample(row, logvars[i], eps) + gained[i];
        gain[i] += gained[i] / samples;
        total[i] += logWeight / samples;
        reconstruction[i] += drawn.logPx[i] / samples;
        error[i] += drawn.error[i] / samples;
        logSum[i] = logAddExp(logSum[i], logWeight);
      });
    }
    const iwae = logSum.map((value) => value - Math.log(samples));
    const kl = standardKl.map((value, i) => value - gain[i]);
    const bounds = { elbo: total, iwae, reconstruction, kl };
    return this.#withError(this.files.prior ? { ...bounds, prior_gain: gain } : bounds, error);
  }

  #withError(bounds, error) {
    const binary = this.manifest.pixels.binarize !== "none";
    return binary ? bounds : { ...bounds, squared_error: error };
  }

  /** Return log p(x|z), and the mean squared error, of each image. */
  async #likelihood(x, z) {
    const { x_logits: logits } = await this.#run("decoder", "z", z);
    const size = this.#size("x");
    const [xs, ls] = [x, logits].map((data) => rows({ data, shape: [data.length / size, size] }));
    return {
      logPx: Float64Array.from(xs, (image, i) => this.#logProbability(image, ls[i])),
      error: Float64Array.from(xs, (image, i) => squaredError(image, ls[i])),
    };
  }

  /** Run one half on all rows, a chunk at a time. */
  async #run(role, name, data) {
    const session = await this.#session(role);
    const size = this.#size(name);
    const parts = [];
    for (let low = 0; low < data.length; low += this.chunk * size) {
      const part = data.slice(low, low + this.chunk * size);
      parts.push(await session.run({ [name]: part }, part.length / size));
    }
    const names = session.artifact.outputs.map((tensor) => tensor.name);
    return Object.fromEntries(names.map((key) => [key, joined(parts.map((part) => part[key]))]));
  }

  #size(name) {
    return name === "x" ? this.imageShape.reduce((size, side) => size * side, 1) : this.latentDim;
  }

  #latents({ data, shape } = {}) {
    const right =
      data instanceof Float32Array &&
      shape?.length === 2 &&
      shape[0] >= 1 &&
      shape[1] === this.latentDim &&
      data.length === shape[0] * shape[1];
    const rule = `z must be {data, shape}, a Float32Array of shape [n, ${this.latentDim}]`;
    require(right && data.every(Number.isFinite), `${rule}, and finite`, shape ?? null);
    return data;
  }

  /** Free what the files hold. */
  async release() {
    for (const session of Object.values(this.#sessions)) {
      await session.then((opened) => opened.release()).catch(() => {});
    }
  }
}

function none({ name, artifacts }, precision) {
  const there = artifacts.filter(({ format }) => format === "onnx").map(({ file }) => file);
  return `${name} has no ${precision} ONNX file; it has: ${there.join(", ") || "none"}`;
}

function rows({ data, shape: [n, size] }) {
  return Array.from({ length: n }, (_, i) => data.subarray(i * size, (i + 1) * size));
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function squaredError(x, logits) {
  return x.reduce((sum, value, i) => sum + (value - probability(logits[i])) ** 2, 0) / x.length;
}

function logAddExp(a, b) {
  const [high, low] = a > b ? [a, b] : [b, a];
  return low === -Infinity ? high : high + Math.log1p(Math.exp(low - high));
}
