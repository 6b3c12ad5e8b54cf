/** Images on canvases. */

/** Paint an image {data, shape}, of bytes or of probabilities, in its own size. */
export function paint(canvas, { data, shape }) {
  const [height, width, channels] = shape.slice(-3);
  const scale = data instanceof Float32Array ? 255 : 1;
  const picture = new ImageData(width, height);
  const clear = channels % 2 === 0;
  const colours = clear ? channels - 1 : channels;
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      picture.data[4 * i + c] = scale * data[i * channels + (colours === 3 ? c : 0)];
    }
    picture.data[4 * i + 3] = clear ? scale * data[i * channels + channels - 1] : 255;
  }
  put(canvas, picture);
}

/**
 * Paint where two images differ: one colour for each sign, as strong as the difference, beside the
 * largest or a quarter of the range.
 */
export function paintDifference(canvas, x, recon, [height, width, channels]) {
  const differences = new Float32Array(width * height);
  x.forEach((value, i) => (differences[Math.floor(i / channels)] += (value - recon[i]) / channels));
  const strongest = differences.reduce((most, value) => Math.max(most, Math.abs(value)), 0.25);
  const [more, less] = [colour("--more-in-image"), colour("--more-in-recon")];
  const picture = new ImageData(width, height);
  differences.forEach((difference, i) => {
    picture.data.set(difference > 0 ? more : less, 4 * i);
    picture.data[4 * i + 3] = (255 * Math.abs(difference)) / strongest;
  });
  put(canvas, picture);
}

function put(canvas, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Return a colour of the style sheet, #rrggbb, as three bytes. */
function colour(name) {
  const hex = getComputedStyle(document.body).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/** Return row i of {data, shape: [n, ...]}. */
export function row({ data, shape }, i) {
  const size = data.length / shape[0];
  return { data: data.subarray(i * size, (i + 1) * size), shape: shape.slice(1) };
}

/** Return a function that runs `work` with its newest argument, never twice at a time. */
export function newest(work) {
  let [running, waiting] = [false, null];
  return async function run(...wanted) {
    waiting = wanted;
    if (running) return;
    running = true;
    try {
      while (waiting) {
        const next = waiting;
        waiting = null;
        await work(...next);
      }
    } finally {
      running = false;
    }
  };
}
