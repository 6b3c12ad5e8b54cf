/**
 * Pillow's bilinear resize of 8-bit images: a triangle filter as wide as the reduction, in fixed
 * point, along rows and along columns. The result is that of Pillow 13 to the bit; older versions,
 * which always took rows first, may differ by a level.
 */

const PRECISION_BITS = 22;

/**
 * Resize an image.
 *
 * @param image {data: Uint8Array, shape: [height, width, channels]}; of 2 or 4 channels the last is
 *   alpha, by which colours are multiplied first
 * @param size [height, width]
 * @param box what is taken of the image: [left, upper, right, lower]
 */
export function resize(image, size, box) {
  const [left, upper, right, lower] = box.map(Math.fround); // as Pillow takes them
  const clear = image.shape[2] % 2 === 0;
  let picture = clear ? multiplied(image) : image;
  const rows = (of) => along(of, 1, size[1], left, right);
  const columns = (of) => along(of, 0, size[0], upper, lower);
  const columnsFirst = size[0] < image.shape[0] && size[1] > image.shape[1]; // fewer to resample
  picture = columnsFirst ? rows(columns(picture)) : columns(rows(picture));
  return clear ? divided(picture) : picture;
}

/** Resample one axis: 0 for columns, 1 for rows. */
function along(image, axis, outSize, start, end) {
  const inSize = image.shape[axis];
  if (outSize === inSize && start === 0 && end === inSize) return image;
  const shape = image.shape.slice();
  shape[axis] = outSize;
  const channels = shape[2];
  const data = new Uint8Array(shape[0] * shape[1] * channels);
  const lines = axis === 1 ? shape[0] : shape[1] * channels; // what does not change place
  const step = axis === 1 ? channels : image.shape[1] * channels; // from one value to the next
  const [inLine, outLine] = axis === 1 ? [inSize * channels, outSize * channels] : [1, 1];
  const values = axis === 1 ? channels : 1; // of a pixel, in a line
  weights(inSize, outSize, start, end).forEach(({ first, kernel }, out) => {
    for (let line = 0; line < lines; line++) {
      for (let value = 0; value < values; value++) {
        let sum = 1 << (PRECISION_BITS - 1);
        let at = line * inLine + first * step + value;
        for (const weight of kernel) {
          sum += image.data[at] * weight;
          at += step;
        }
        data[line * outLine + out * step + value] = Math.min(255, sum >> PRECISION_BITS);
      }
    }
  });
  return { data, shape };
}

/** Return for each output the first input it is made of, and the weights from there on. */
function weights(inSize, outSize, start, end) {
  const scale = Math.fround(end - start) / outSize;
  const support = Math.max(scale, 1);
  return Array.from(Array(outSize).keys(), (out) => {
    const centre = start + (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(inSize, Math.trunc(centre + support + 0.5));
    const kernel = Array.from({ length: last - first }, (_, i) =>
      Math.max(0, 1 - Math.abs((i + first - centre + 0.5) * (1 / support))),
    );
    const total = kernel.reduce((sum, weight) => sum + weight, 0);
    const fixed = kernel.map((weight) => Math.trunc(0.5 + (weight / total) * 2 ** PRECISION_BITS));
    return { first, kernel: fixed };
  });
}

/** Return the image with its colours multiplied by their alpha. */
function multiplied(image) {
  return withColours(image, (value, alpha) => {
    const product = value * alpha + 128;
    return ((product >> 8) + product) >> 8;
  });
}

/** Undo ``multiplied``. */
function divided(image) {
  return withColours(image, (value, alpha) =>
    alpha === 0 || alpha === 255 ? value : Math.min(255, Math.trunc((255 * value) / alpha)),
  );
}

function withColours({ data, shape }, change) {
  const channels = shape[2];
  const changed = data.slice();
  for (let i = 0; i < data.length; i++) {
    const alphaAt = i - (i % channels) + channels - 1;
    if (i !== alphaAt) changed[i] = change(data[i], data[alphaAt]);
  }
  return { data: changed, shape };
}
