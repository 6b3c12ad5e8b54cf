/** The precisions there are: what each costs, and how fast it runs here. */
import { EdgeCVAE } from "../cvae-edge/cvae-edge.js";

const RUNS = 10; // in one measurement: a browser's clock has steps of 0.1 ms
const MEASURED_MS = 600;
const LEAST_TIMES = 6;

export class Files {
  /** @param onChoose called with a precision */
  constructor(body, onChoose) {
    this.body = body;
    body.addEventListener("change", ({ target }) => onChoose(target.value));
  }

  /** List a manifest's encoders and decoders in ONNX: a prior may have precisions of its own. */
  show({ artifacts }, chosen) {
    const halves = ["encoder", "decoder"];
    const there = artifacts.filter(({ format, role }) => format === "onnx" && halves.includes(role));
    this.precisions = [...new Set(there.map(({ precision }) => precision))];
    this.body.replaceChildren(
      ...this.precisions.map((precision) => {
        const files = there.filter((artifact) => artifact.precision === precision);
        return line(precision, files, precision === chosen);
      }),
    );
  }

  /** Put down how fast a precision is. */
  put(precision, milliseconds) {
    const last = this.body.querySelector(`[value="${precision}"]`).closest("tr").lastChild;
    last.textContent = milliseconds.toFixed(2);
  }

  /** Measure every precision, one after the other. */
  async measure(bundle, options) {
    for (const precision of this.precisions) {
      const model = await EdgeCVAE.load(bundle, { ...options, precision });
      if (model.files.decoder) this.put(precision, await millisecondsOf(model));
      await model.release();
    }
  }
}

/**
 * Return the milliseconds that decoding one image takes: a median of the second half of what is
 * measured, for browsers compile again what runs often. In between the page stays responsive.
 */
export async function millisecondsOf(model) {
  const z = { data: new Float32Array(model.latentDim).fill(0.5), shape: [1, model.latentDim] };
  const end = performance.now() + MEASURED_MS;
  const times = [];
  while (performance.now() < end || times.length < LEAST_TIMES) {
    const before = performance.now();
    for (let run = 0; run < RUNS; run++) await model.decode(z);
    times.push((performance.now() - before) / RUNS);
    await new Promise((resolve) => setTimeout(resolve));
  }
  const settled = times.slice(times.length >> 1).sort((a, b) => a - b);
  return settled[settled.length >> 1];
}

function line(precision, files, checked) {
  const row = document.createElement("tr");
  const radio = document.createElement("input");
  Object.assign(radio, { type: "radio", name: "precision", value: precision, checked });
  const label = document.createElement("label");
  label.append(radio, precision.replace("_", " "));
  const bytes = sum(files.map((file) => file.size_bytes ?? 0));
  const changes = files.map((file) => file.elbo_difference);
  const change = changes.every(Number.isFinite) ? signed(sum(changes)) : "–";
  row.append(cell("th", label));
  row.append(...[(bytes / 1e3).toFixed(0), change, "–"].map((content) => cell("td", content)));
  return row;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function signed(nats) {
  const rounded = nats.toFixed(3);
  return Number(rounded) === 0 ? "0" : rounded.replace("-", "−").replace(/^(?=\d)/, "+");
}

function cell(tag, content) {
  const element = document.createElement(tag);
  if (tag === "th") element.scope = "row";
  element.append(content);
  return element;
}
