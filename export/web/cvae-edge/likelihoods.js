/**
 * Likelihoods log p(x|z), a table by name, in nats per image and summed over pixels.
 *
 * All read x_logits, and the image is m = sigmoid(x_logits) under each. `cvae_edge/likelihoods.py`
 * has the same formulas in float32; here sums are in float64, so values differ by its rounding.
 */
import { CvaeEdgeError, require } from "./errors.js";

const LEVELS = 256; // of a pixel
const HALF = 0.5 / (LEVELS - 1);

/** Turn logits into probabilities, in their own memory. */
export function sigmoid(logits) {
  for (let i = 0; i < logits.length; i++) logits[i] = probability(logits[i]);
  return logits;
}

export function probability(logit) {
  return 1 / (1 + Math.exp(-Math.max(logit, -88)));
}

/** Binary pixels: log p = x * l - log(1 + exp(l)). */
function bernoulli(x, logits) {
  return sumOver(x, (value, i) => value * logits[i] - softplus(logits[i]));
}

/** A density: mean sigmoid(l), one standard deviation for all pixels. */
function gaussian(x, logits, [sigma]) {
  const constant = Math.log(sigma) + 0.5 * Math.log(2 * Math.PI);
  const residuals = sumOver(x, (value, i) => (value - probability(logits[i])) ** 2);
  return -residuals / (2 * sigma * sigma) - x.length * constant;
}

/** Discretized logistic over 256 levels, one scale a channel (Salimans et al. 2017). */
function logistic(x, logits, scales) {
  return sumOver(x, (value, i) => {
    const scale = scales[i % scales.length];
    const centred = Math.round(value * (LEVELS - 1)) / (LEVELS - 1) - probability(logits[i]);
    const logUpper = -softplus((-HALF - centred) / scale); // log F(upper)
    const logLower = -softplus((centred - HALF) / scale); // log(1 - F(lower))
    if (value < HALF) return logUpper;
    if (value > 1 - HALF) return logLower;
    // F(u) - F(l) = F(u) (1 - F(l)) (1 - exp(l - u)), which loses no digits in either tail.
    return logUpper + logLower + Math.log(-Math.expm1((-2 * HALF) / scale));
  });
}

const LIKELIHOODS = { bernoulli, gaussian, logistic };
const SCALES = { bernoulli: () => 0, gaussian: () => 1, logistic: (channels) => channels };

/** Return log p(x|z) of one image as a function of x and x_logits, by the manifest's entry. */
export function makeLikelihood({ name, scale }, channels) {
  if (!Object.hasOwn(LIKELIHOODS, name)) {
    return () => {
      throw new CvaeEdgeError(
        `scores need the likelihood '${name}', and this page has ` +
          `${Object.keys(LIKELIHOODS).join(", ")}: make it with a newer cvae-edge`,
      );
    };
  }
  const count = SCALES[name](channels);
  const right = scale.length === count && scale.every((value) => value > 0 && value < Infinity);
  require(right, `the likelihood ${name} must have ${count} scales above 0`, scale);
  return (x, logits) => LIKELIHOODS[name](x, logits, scale);
}

/** What values are called where they are shown. */
export function unit(name, binarize) {
  if (name === "gaussian") return "nats (density)";
  const isLikelihood = name !== "bernoulli" || binarize !== "none";
  return isLikelihood ? "nats" : "nats (no log-likelihood: pixels are not binary)";
}

/** log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|)), which cannot overflow. */
function softplus(logit) {
  return Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit)));
}

function sumOver(values, term) {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += term(values[i], i);
  return total;
}
