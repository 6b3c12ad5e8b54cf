/**
 * Portable randomness: one seed gives the same numbers as in Python.
 *
 * Bits are Philox4x64-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11), the
 * transform is Box and Muller's (1958) in float64, rounded to float32. A browser's log, cos and sin
 * may differ from numpy's in the last bit of a float64; the rounding hides that but in about one
 * value of a hundred million.
 */
import { require } from "./errors.js";

const WORDS = 4; // 64-bit words that one counter yields
const ROUNDS = 10;
const MASK = (1n << 64n) - 1n;
const [MULTIPLIER_0, MULTIPLIER_1] = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const [WEYL_0, WEYL_1] = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];

/** Return a whole number in [0, 2^64) as BigInt. */
export function word(name, value) {
  const whole = typeof value === "bigint" || Number.isSafeInteger(value);
  const rule = `${name} must be a whole number in [0, 2^64), a BigInt from 2^53 on`;
  require(whole && value >= 0 && BigInt(value) <= MASK, rule, value);
  return BigInt(value);
}

/** Return the four 64-bit words of a 256-bit counter under the 128-bit key seed + 2^64 * sample. */
export function philox(counter, seed, sample) {
  let [a, b, c, d] = [0n, 64n, 128n, 192n].map((shift) => (counter >> shift) & MASK);
  let [key0, key1] = [seed, sample];
  for (let round = 0; round < ROUNDS; round++) {
    const product0 = a * MULTIPLIER_0;
    const product1 = c * MULTIPLIER_1;
    [a, b, c, d] = [
      (product1 >> 64n) ^ b ^ key0,
      product1 & MASK,
      (product0 >> 64n) ^ d ^ key1,
      product0 & MASK,
    ];
    key0 = (key0 + WEYL_0) & MASK;
    key1 = (key1 + WEYL_1) & MASK;
  }
  return [a, b, c, d];
}

/**
 * Draw the noise of images `start` to `start + n - 1` of a stream: Float32Array of n * latentDim.
 *
 * Image i owns the counters 1 + i * b to (i + 1) * b with b = ceil(latentDim / 4), so its noise is
 * the same alone and in any batch.
 */
export function standardNormal(n, latentDim, { seed = 0, start = 0, sample = 0 } = {}) {
  require(Number.isSafeInteger(n) && n >= 1, "the number of images must be at least 1", n);
  const [key0, key1, first] = [word("seed", seed), word("sample", sample), word("start", start)];
  const blocks = Math.ceil(latentDim / WORDS);
  const eps = new Float32Array(n * latentDim);
  for (let image = 0; image < n; image++) {
    const counter = 1n + (first + BigInt(image)) * BigInt(blocks);
    for (let block = 0; block < blocks; block++) {
      const words = philox(counter + BigInt(block), key0, key1);
      const values = [...boxMuller(words[0], words[1]), ...boxMuller(words[2], words[3])];
      const column = block * WORDS;
      eps.set(values.slice(0, latentDim - column), image * latentDim + column);
    }
  }
  return eps;
}

function boxMuller(word1, word2) {
  const radius = Math.sqrt(-2 * Math.log(uniform(word1)));
  const angle = uniform(word2) * (2 * Math.PI);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/** Return ((word >> 11) + 0.5) * 2^-53. */
function uniform(bits) {
  return (Number(bits >> 11n) + 0.5) * 2 ** -53;
}
