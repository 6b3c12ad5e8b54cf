/** Latents: drawn from a posterior, its divergence from the prior, ways between two. */
import { require } from "./errors.js";

const PARALLEL = 1e-4; // angle in radians below which an arc and a chord are the same in float32

/** Return z = mean + exp(logvar / 2) * eps (Kingma and Welling 2014, section 2.4). */
export function reparameterize(mean, logvar, eps) {
  const deviation = (i) => Math.fround(Math.exp(0.5 * logvar[i]));
  return mean.map((value, i) => value + Math.fround(deviation(i) * eps[i]));
}

/** Return KL(q(z|x) || N(0, I)) of one posterior, in nats (the same, appendix B). */
export function klAnalytic(mean, logvar) {
  return 0.5 * sum(mean, (m, i) => m * m + Math.exp(logvar[i]) - logvar[i] - 1);
}

/** Return log N(eps; 0, I) - log N(z; 0, I). */
export function normalRatio(eps, z) {
  return 0.5 * sum(z, (value, i) => value * value - eps[i] * eps[i]);
}

/** Return log q(z|x) - log N(z; 0, I) at z = mean + exp(logvar / 2) * eps. */
export function klSample(z, logvar, eps) {
  return 0.5 * sum(z, (value, i) => value * value - eps[i] * eps[i] - logvar[i]);
}

/**
 * Return `steps` latents from a to b, ends included, one after the other.
 *
 * Spherical: sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, with w the angle between the two
 * (Shoemake 1985, after White 2016, arXiv:1609.04468).
 */
export function interpolateLatents(a, b, steps, path = "spherical") {
  require(Number.isInteger(steps) && steps >= 2, "steps must be at least 2, the two ends", steps);
  require(["spherical", "linear"].includes(path), "path must be spherical or linear", path);
  const angle = angleBetween(a, b);
  // An arc between parallel latents is a chord, and between opposite ones not defined.
  const curved = path === "spherical" && angle > PARALLEL && angle < Math.PI - PARALLEL;
  const weight = (t) => (curved ? Math.sin(t * angle) / Math.sin(angle) : t);
  const z = new Float32Array(steps * a.length);
  for (let step = 0; step < steps; step++) {
    const t = step / (steps - 1);
    z.set(
      a.map((value, i) => weight(1 - t) * value + weight(t) * b[i]),
      step * a.length,
    );
  }
  return z;
}

function angleBetween(a, b) {
  const lengths = Math.sqrt(sum(a, (v) => v * v)) * Math.sqrt(sum(b, (v) => v * v));
  // A latent of zeros has no direction: cos 1 makes it parallel, so the way is a chord.
  const cosine = lengths > 0 ? sum(a, (v, i) => v * b[i]) / lengths : 1;
  return Math.acos(Math.min(1, Math.max(-1, cosine)));
}

function sum(values, term) {
  return values.reduce((total, value, i) => total + term(value, i), 0);
}
