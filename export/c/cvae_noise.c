/* See cvae_noise.h. Logarithm, sine and cosine are those of FreeBSD's msun (Sun Microsystems, 1993),
 * cut to the ranges that are needed: C libraries differ in the last bit, these do not, and they take
 * a tenth of the flash. They are within a unit in the last place of float64.
 */
#include "cvae_noise.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* a fused product and sum would round once where others round twice */
#endif

#define ROUNDS 10
#define WORDS 4
#define TWO_PI 6.283185307179586476925286766559
#define HALF_PI_HIGH 1.57079632673412561417e+00 /* 33 bits: its multiples up to 4 are exact */
#define HALF_PI_LOW 6.07710050650619224932e-11
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define SQRT_HALF_BITS 0x3fe6a09e00000000u
#define ONE_BITS 0x3ff0000000000000u

/* 64 x 64 -> 128 bits, by halves: small processors have no wider product than 32 x 32 -> 64. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *high)
{
    const uint64_t a0 = a & 0xffffffff, a1 = a >> 32, b0 = b & 0xffffffff, b1 = b >> 32;
    const uint64_t low = a0 * b0, left = a1 * b0, right = a0 * b1;
    const uint64_t middle = (low >> 32) + (left & 0xffffffff) + (right & 0xffffffff);
    *high = a1 * b1 + (left >> 32) + (right >> 32) + (middle >> 32);
    return middle << 32 | (low & 0xffffffff);
}

void cvae_philox(const uint64_t counter[4], const uint64_t key[2], uint64_t words[4])
{
    uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint64_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t high0, high1;
        const uint64_t low0 = multiply(0xD2E7470EE14C6C93u, c0, &high0);
        const uint64_t low1 = multiply(0xCA5A826395121157u, c2, &high1);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15u;
        k1 += 0xBB67AE8584CAA73Bu;
    }
    words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

static double uniform(uint64_t word)
{
    return ((double)(word >> 11) + 0.5) * (1.0 / 9007199254740992.0); /* 2^-53 */
}

/* The natural logarithm of a number between 0 and 1, neither of them: e_log.c. */
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t above = bits + (ONE_BITS - SQRT_HALF_BITS); /* x = 2^k * (1 + f) */
    const double k = (double)((int32_t)(above >> 52) - 1023);
    bits = (above & 0xfffffffffffffu) + SQRT_HALF_BITS;
    memcpy(&x, &bits, sizeof x);
    const double f = x - 1.0, s = f / (2.0 + f), z = s * s, w = z * z;
    const double even = w * (3.999999999940941908e-01 +
                             w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    const double odd = z * (6.666666666666735130e-01 +
                            w * (2.857142874366239149e-01 +
                                 w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    const double half = 0.5 * f * f;
    return k * LN2_HIGH - ((half - (s * (half + (even + odd)) + k * LN2_LOW)) - f);
}

/* Sine and cosine of an angle from 0 to 2 pi: k_sin.c, k_cos.c. */
static void turn(double angle, double *sine, double *cosine)
{
    const int32_t quarter = (int32_t)(angle / (TWO_PI / 4) + 0.5);
    const double x = (angle - quarter * HALF_PI_HIGH) - quarter * HALF_PI_LOW;
    const double z = x * x, half = 0.5 * z, rest = 1.0 - half;
    const double s = x + x * z * (-1.66666666666666324348e-01 +
                                  z * (8.33333333332248946124e-03 +
                                       z * (-1.98412698298579493134e-04 +
                                            z * (2.75573137070700676789e-06 +
                                                 z * (-2.50507602534068634195e-08 +
                                                      z * 1.58969099521155010221e-10)))));
    const double r = z * z * (4.16666666666666019037e-02 +
                              z * (-1.38888888888741095749e-03 +
                                   z * (2.48015872894767294178e-05 +
                                        z * (-2.75573143513906633035e-07 +
                                             z * (2.08757232129817482790e-09 -
                                                  z * 1.13596475577881948265e-11)))));
    const double c = rest + (((1.0 - rest) - half) + r);
    *sine = quarter & 1 ? (quarter & 2 ? -c : c) : (quarter & 2 ? -s : s);
    *cosine = quarter & 1 ? (quarter & 2 ? s : -s) : (quarter & 2 ? -c : c);
}

void cvae_noise(uint64_t seed, uint64_t sample, uint64_t index, int32_t latent_dim, float *eps)
{
    const uint64_t key[2] = {seed, sample};
    const uint64_t blocks = (uint64_t)(latent_dim + WORDS - 1) / WORDS;
    uint64_t counter[4] = {0};
    counter[0] = multiply(index, blocks, &counter[1]);
    for (int32_t i = 0; i < latent_dim; i += WORDS) {
        uint64_t words[WORDS];
        counter[0] += 1; /* an image's counters begin at 1 + index * blocks */
        counter[1] += counter[0] == 0;
        cvae_philox(counter, key, words);
        for (int32_t k = 0; k < WORDS && i + k < latent_dim; k += 2) {
            const double radius = sqrt(-2.0 * logarithm(uniform(words[k])));
            double sine, cosine;
            turn(uniform(words[k + 1]) * TWO_PI, &sine, &cosine);
            eps[i + k] = (float)(radius * cosine);
            if (i + k + 1 < latent_dim) {
                eps[i + k + 1] = (float)(radius * sine);
            }
        }
    }
}
