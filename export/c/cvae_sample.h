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
/* Draw image `index` of the stream `seed` from the prior. */
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

/* log p(x|z) at the posterior's mean less the KL, in nats: low is unlike the training data. Both
 * graphs compute with integers, the likelihood and the KL in floating point. */
float cvae_score(const uint8_t *pixels);
#endif

#ifdef __cplusplus
}
#endif

#endif
