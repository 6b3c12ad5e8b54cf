/* What a model does, from pixels to pixels. Pixels are 0 to 255, CVAE_PIXELS of them, row by row,
 * the channels of a pixel side by side. One image at a time: all share the model's memory.
 */
#ifndef CVAE_SAMPLE_H
#define CVAE_SAMPLE_H

#include <stdint.h>

#include "cvae_model.h"

#ifdef __cplusplus
extern "C" {
#endif

#if CVAE_HAS_DECODER
/* Draw the CVAE_LATENT_DIM latents of image `index` of the stream `seed` from the prior: the learned
 * one where CVAE_HAS_PRIOR, else the normal noise itself. For the standard normal beside a learned
 * prior give cvae_noise(seed, 0, index, CVAE_LATENT_DIM, z) to cvae_decode. */
void cvae_draw(uint64_t seed, uint64_t index, float *z);

/* Decode what cvae_draw gives. */
void cvae_generate(uint64_t seed, uint64_t index, uint8_t *pixels);

/* Decode CVAE_LATENT_DIM latents. */
void cvae_decode(const float *z, uint8_t *pixels);
#endif

#if CVAE_HAS_ENCODER
/* The posterior of an image: CVAE_LATENT_DIM means and logarithms of variances. */
void cvae_encode(const uint8_t *pixels, float *mean, float *logvar);
#endif

#if CVAE_HAS_ENCODER && CVAE_HAS_DECODER
/* Encode an image, draw with the noise of image `index` of the stream `seed`, and decode. */
void cvae_reconstruct(const uint8_t *pixels, uint64_t seed, uint64_t index, uint8_t *x_recon);
#endif

#if CVAE_HAS_SCORE
/* log p(x|z) at the posterior's mean less the KL, in nats: low is unlike the training data. Encoder
 * and decoder compute with integers, a learned prior, the likelihood and the KL in floating point.
 * For a learned prior the KL is the one to the standard normal, less the difference of the two
 * priors' log p(z) at the mean. */
float cvae_score(const uint8_t *pixels);
#endif

#ifdef __cplusplus
}
#endif

#endif
