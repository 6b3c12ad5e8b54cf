/* The portable noise of cvae_edge: one seed gives the same latents on every device. */
#ifndef CVAE_NOISE_H
#define CVAE_NOISE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The four 64-bit words of one counter, by Philox4x64-10 (Salmon et al., SC'11). */
void cvae_philox(const uint64_t counter[4], const uint64_t key[2], uint64_t words[4]);

/* The standard normal noise of image `index` of the stream `seed`: latent_dim values.
 * sample counts the further draws for the same image; 0 is the first. */
void cvae_noise(uint64_t seed, uint64_t sample, uint64_t index, int32_t latent_dim, float *eps);

#ifdef __cplusplus
}
#endif

#endif
