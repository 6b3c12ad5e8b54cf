/**
 * Images of any size and channels become what a model takes, as the manifest's `pixels` says.
 *
 * An image is {data, shape}: Uint8Array, or Float32Array in [0, 1], of shape [height, width,
 * channels]; images have a first axis more. The arithmetic is Python's, in float32.
 */
import { CvaeEdgeError, require } from "./errors.js";
import { resize } from "./resample.js";
import { roundEven } from "./rounding.js";

const f32 = Math.fround;
const LUMA = [0.299, 0.587, 0.114].map(f32); // of red, green and blue (ITU-R BT.601)
const MASK_BITS = [8, 12, 15, 16, 31, 32]; // that float32 values may have been scaled from
const LEAST = MASK_BITS.map((bits) => f32(1 / (2 ** bits - 1)));

/** Return an image of what a canvas holds: RGBA without the channels that say nothing. */
export function fromRGBA(rgba, width, height) {
  let [grey, opaque] = [true, true];
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i + 3] !== 255) opaque = false;
    if (rgba[i + 3] && (rgba[i] !== rgba[i + 1] || rgba[i] !== rgba[i + 2])) grey = false;
  }
  const kept = grey ? [0] : [0, 1, 2];
  if (!opaque) kept.push(3);
  const data = new Uint8Array(width * height * kept.length);
  for (let i = 0; i < width * height; i++) {
    if (rgba[4 * i + 3] === 0) continue; // where nothing shows, the colour is black
    kept.forEach((channel, c) => (data[i * kept.length + c] = rgba[4 * i + channel]));
  }
  return { data, shape: [height, width, kept.length] };
}

/** Make one 8-bit image what `pixels` describes. */
export function fitImage(image, pixels) {
  const whole = whiten({ data: image.data, shape: [1, ...image.shape] });
  const sized = resample({ data: whole.data, shape: image.shape }, pixels);
  return pad(convert(sized, pixels.image_shape[2], pixels.background), pixels);
}

/**
 * Return black and white for a mask: two levels, 0 and the least above it, which scaled by their
 * type's range would be all black. Other images pass as they are.
 */
export function whiten(images) {
  const { data, shape } = images;
  const channels = shape.at(-1);
  const isAlpha = (i) => channels % 2 === 0 && i % channels === channels - 1;
  let top = 0;
  for (let i = 0; i < data.length; i++) if (!isAlpha(i) && data[i] > top) top = data[i];
  const bytes = data instanceof Uint8Array;
  if (!(bytes ? [1] : LEAST).includes(top)) return images;
  if (!data.every((value, i) => isAlpha(i) || value === 0 || value === top)) return images;
  const white = bytes ? 255 : 1;
  return { data: data.map((v, i) => (isAlpha(i) || v === 0 ? v : white)), shape };
}

/**
 * Return images as Float32Array (n, ...imageShape) in [0, 1], with the binarization done: what an
 * encoder is fed.
 */
export function prepare(images, pixels) {
  const data = asFloat(whiten(asImages(images, pixels.image_shape)).data);
  return pixels.binarize === "none" ? data : data.map((value) => (value >= 0.5 ? 1 : 0));
}

/** Return images as {data, shape} with n first, or throw an error that names the rule. */
export function asImages(images, imageShape) {
  const { data, shape } = images ?? {};
  const known = data instanceof Float32Array || (ArrayBuffer.isView(data) && isBytes(data));
  require(known, "images must be {data, shape} with a Uint8Array or Float32Array", typeof data);
  const whole = shape?.length === 3 ? [1, ...shape] : shape;
  const fits = whole?.length === 4 && imageShape.every((size, i) => size === whole[i + 1]);
  const rule = `the model takes images of [height, width, channels] ${JSON.stringify(imageShape)}`;
  require(fits && whole[0] >= 1, rule, shape ?? null);
  const size = whole.reduce((product, length) => product * length, 1);
  require(data.length === size, `images of shape ${whole} must have ${size} values`, data.length);
  if (data instanceof Float32Array && !data.every((value) => value >= 0 && value <= 1)) {
    throw new CvaeEdgeError("images in floating point must lie in [0, 1], got values beyond");
  }
  return { data: isBytes(data) ? new Uint8Array(data) : data, shape: whole };
}

function isBytes(data) {
  return data instanceof Uint8Array || data instanceof Uint8ClampedArray;
}

function asFloat(data) {
  return data instanceof Uint8Array ? Float32Array.from(data, (value) => f32(value) / 255) : data;
}

/** Bring an image to the size of `pixels`; where it is to be padded, to what fits into it. */
function resample(image, pixels) {
  const [h, w] = image.shape;
  const [height, width] = pixels.image_shape;
  let size = [height, width];
  let box = [0, 0, w, h]; // left, upper, right, lower: what is taken of the image
  if (pixels.fit === "crop") {
    const scale = Math.max(height / h, width / w);
    const x = Math.max(0, (w - width / scale) / 2);
    const y = Math.max(0, (h - height / scale) / 2);
    box = [x, y, w - x, h - y];
  } else if (pixels.fit === "pad") {
    const scale = Math.min(height / h, width / w);
    size = [h, w].map((side) => Math.max(1, roundEven(side * scale)));
  }
  return size[0] === h && size[1] === w ? image : resize(image, size, box);
}

/** Composite what is transparent, make colour grey and grey colour, give alpha: as needed. */
function convert(image, channels, background) {
  const [height, width, own] = image.shape;
  if (own === channels) return image;
  const colours = own % 2 ? own : own - 1;
  const ground = channels % 2 ? groundOf(background, colours) : null;
  const data = new Uint8Array(height * width * channels);
  for (let i = 0; i < height * width; i++) {
    const pixel = Array.from(image.data.subarray(i * own, (i + 1) * own), (v) => f32(v / 255));
    const alpha = own % 2 ? 1 : pixel.pop();
    let colour = pixel;
    if (ground) colour = colour.map((v, c) => f32(ground[c] + f32(f32(v - ground[c]) * alpha)));
    if (colours === 3 && channels <= 2) colour = [luma(colour)];
    else if (colours === 1 && channels >= 3) colour = Array(3).fill(colour[0]);
    if (channels % 2 === 0) colour = [...colour, alpha];
    data.set(colour.map(toByte), i * channels);
  }
  return { data, shape: [height, width, channels] };
}

function pad(image, { image_shape: [height, width, channels], background }) {
  const [h, w] = image.shape;
  if (h === height && w === width) return image;
  const [top, left] = [Math.floor((height - h) / 2), Math.floor((width - w) / 2)];
  const ground = groundOf(background, channels).map(toByte);
  const data = Uint8Array.from(
    { length: height * width * channels },
    (_, i) => ground[i % channels],
  );
  for (let row = 0; row < h; row++) {
    const line = image.data.subarray(row * w * channels, (row + 1) * w * channels);
    data.set(line, ((top + row) * width + left) * channels);
  }
  return { data, shape: [height, width, channels] };
}

/** Return the background in so many channels; where alpha is kept, it is clear. */
function groundOf(background, channels) {
  if (channels % 2 === 0) return Array(channels).fill(0);
  const rgb = [1, 3, 5].map((i) => f32(parseInt(background.slice(i, i + 2), 16) / 255));
  return channels === 3 ? rgb : [luma(rgb)];
}

function luma(rgb) {
  const [red, green, blue] = rgb.map((value, i) => f32(value * LUMA[i]));
  return f32(f32(red + green) + blue);
}

function toByte(value) {
  return roundEven(f32(Math.min(1, Math.max(0, value)) * 255));
}
