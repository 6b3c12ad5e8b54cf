/** A canvas to draw on, with a finger, a mouse or the keyboard. */

const SIDE = 320; // canvas pixels of the longer side
const BRUSH = 0.085; // of it
const STEP = 0.03;

export class Pad {
  #last = null;
  #cursor = [0.5, 0.5];
  #penDown = false;

  /** @param onChange called after each stroke */
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.onChange = onChange;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => (this.#last = null));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Take the shape of a model's images, and its colours: light on dark, or dark on light. */
  use([height, width], lightOnDark) {
    const scale = SIDE / Math.max(height, width);
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale].map(Math.round);
    [this.ink, this.ground] = lightOnDark ? ["#fff", "#000"] : ["#000", "#fff"];
    this.clear();
  }

  clear() {
    const { width, height } = this.canvas;
    this.context.fillStyle = this.ground;
    this.context.fillRect(0, 0, width, height);
  }

  /** What is drawn, as ImageData. */
  read() {
    return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  /** Show a picture in the canvas' shape. */
  show(picture) {
    this.clear();
    this.context.imageSmoothingEnabled = picture.width > this.canvas.width;
    const { width, height } = this.canvas;
    const scale = Math.min(width / picture.width, height / picture.height);
    const size = [picture.width * scale, picture.height * scale];
    const corner = [(width - size[0]) / 2, (height - size[1]) / 2];
    this.context.drawImage(picture, ...corner, ...size);
  }

  #down(event) {
    event.preventDefault();
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.#last = this.#place(event);
    this.#stroke(this.#last, this.#last);
  }

  #drag(event) {
    if (!this.#last) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const place = this.#place(each);
      this.#stroke(this.#last, place);
      this.#last = place;
    }
  }

  #place({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  #stroke(from, to) {
    const { width, height } = this.canvas;
    Object.assign(this.context, { strokeStyle: this.ink, lineCap: "round" });
    this.context.lineWidth = BRUSH * Math.max(width, height);
    this.context.beginPath();
    this.context.moveTo(from[0] * width, from[1] * height);
    this.context.lineTo(to[0] * width, to[1] * height);
    this.context.stroke();
    this.onChange();
  }

  /** Space puts the pen down or lifts it, the arrow keys move it. */
  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (event.key === " ") {
      this.#penDown = !this.#penDown;
      if (this.#penDown) this.#stroke(this.#cursor, this.#cursor);
    } else if (move) {
      const limit = (value) => Math.min(1, Math.max(0, value));
      const to = this.#cursor.map((value, i) => limit(value + STEP * move[i]));
      if (this.#penDown) this.#stroke(this.#cursor, to);
      this.#cursor = to;
    } else return;
    event.preventDefault();
  }
}
