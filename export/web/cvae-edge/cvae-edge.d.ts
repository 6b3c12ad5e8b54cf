/** A model of cvae_edge in a browser, or in Node. The verbs are those of Python. */

/** An array: values, the last axis fastest. */
export interface Tensor<T = Float32Array> {
  data: T;
  shape: number[];
}

/** Images (n, height, width, channels), or one without the n: bytes, or floats in [0, 1]. */
export type Images = Tensor<Uint8Array | Uint8ClampedArray | Float32Array>;

/** A whole number from 0 to 2^64 - 1; from 2^53 on a bigint. */
export type Whole = number | bigint;

export interface LoadOptions {
  /** float32 (the default), float16, dynamic_range or int8. */
  precision?: string;
  /** Where latents come from: auto (a learned prior, where there is one) or standard (normal). */
  prior?: "auto" | "standard";
  /** What runs the files, first choice first; by default WebGPU where there is one, else wasm. */
  executionProviders?: ("webgpu" | "wasm" | "cpu")[];
  /** onnxruntime's module, instead of the files beside this one; needed in Node. */
  ort?: object;
}

export interface Posterior {
  /** (n, latentDim) */
  mean: Tensor;
  /** (n, latentDim) */
  logvar: Tensor;
}

/** Of each image, in nats; elbo_at_mean without samples, elbo and iwae with them. */
export interface Bounds {
  elbo_at_mean?: Float64Array;
  elbo?: Float64Array;
  iwae?: Float64Array;
  /** log p(x|z) */
  reconstruction: Float64Array;
  /** to the standard normal in closed form, less what a learned prior gains */
  kl: Float64Array;
  /** log p(z) of a learned prior less the standard normal's, with samples */
  prior_gain?: Float64Array;
  /** mean over pixels, unless they are binary */
  squared_error?: Float64Array;
}

/** Where a bundle is: its folder's URL, or a function from file names to bytes. */
export type Source = string | URL | ((name: string) => Promise<Uint8Array>);

/** A bundle whose manifest has been checked. */
export class Bundle {
  static open(source: Source): Promise<Bundle>;
  readonly manifest: Record<string, any>;
}

/** What a user or a bundle can cause: one sentence. */
export class CvaeEdgeError extends Error {}

export class EdgeCVAE {
  /**
   * Load a model; every file's SHA-256 is checked before it is used. The encoder is opened when it
   * is first needed.
   *
   * @param source the URL of the bundle's folder (in Node also file:), a function from file names
   *   to bytes, or an open bundle
   * @throws CvaeEdgeError the bundle is missing, damaged, of an unknown version or without the
   *   precision; or this browser can't run it
   */
  static load(source: Source | Bundle, options?: LoadOptions): Promise<EdgeCVAE>;

  /** manifest.json, checked. */
  readonly manifest: Record<string, any>;
  /** height, width, channels */
  readonly imageShape: [number, number, number];
  readonly latentDim: number;
  /** What a score's values are called. */
  readonly unit: string;
  /** The artifacts that run, by role. */
  readonly files: Partial<
    Record<"encoder" | "decoder" | "prior" | "density", Record<string, any>>
  >;
  /** Images that are run at a time. */
  readonly chunk: number;
  readonly engine: { readonly provider: string; readonly threads: number };

  /** Draw images from the prior: probabilities (n, height, width, channels). */
  generate(n?: number, options?: { seed?: Whole; start?: Whole }): Promise<Tensor>;
  /** Return the latents (n, latentDim) of noise of n * latentDim values. */
  prior(eps: Float32Array): Promise<Tensor>;
  encode(images: Images): Promise<Posterior>;
  /** Return the images of latents (n, latentDim). */
  decode(z: Tensor): Promise<Tensor>;
  /** Encode and decode; image i takes the noise of image i of the stream, or, without sample, none. */
  reconstruct(images: Images, options?: { seed?: Whole; sample?: boolean }): Promise<Tensor>;
  /** Decode steps latents between the posterior means of a and b: (n, steps, height, width, channels). */
  interpolate(
    a: Images,
    b: Images,
    options?: { steps?: number; path?: "spherical" | "linear" },
  ): Promise<Tensor>;
  /** How likely the model finds each image, in nats: the ELBO at the mean or, with samples, IWAE. */
  score(images: Images, options?: { samples?: number; seed?: Whole }): Promise<Float64Array>;
  bounds(images: Images, options?: { samples?: number; seed?: Whole }): Promise<Bounds>;

  /** Make one 8-bit image (height, width, channels) of any size and channels what the model takes. */
  fit(image: Tensor<Uint8Array>): Tensor<Uint8Array>;
  /** Return what the encoder is fed of images: binarized, if the model was trained so. */
  prepare(images: Images): Float32Array;
  /** Free what the files hold. */
  release(): Promise<void>;
}

/** Read an image file upright; 8 bits a channel. In browsers alone. */
export function readImage(file: Blob): Promise<Tensor<Uint8Array>>;

/** Return a canvas' pixels as an image, without the channels that say nothing. */
export function fromRGBA(
  rgba: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
): Tensor<Uint8Array>;

/** Return the portable noise of n images: n * latentDim values. */
export function standardNormal(
  n: number,
  latentDim: number,
  options?: { seed?: Whole; start?: Whole; sample?: Whole },
): Float32Array;

/** Return steps latents from a to b, one after the other. */
export function interpolateLatents(
  a: Float32Array,
  b: Float32Array,
  steps: number,
  path?: "spherical" | "linear",
): Float32Array;

/** Whether this browser has WebGPU, on more than its processor. */
export function hasWebGPU(): Promise<boolean>;
