/* What the model's graphs must give for some inputs: integers, the same on every device; and floats
 * of a learned prior, which may differ by CVAE_GOLDEN_TOLERANCE. */
#ifndef CVAE_GOLDEN_H
#define CVAE_GOLDEN_H

#include "cvae_model.h"

#define CVAE_GOLDEN_OUTPUTS 2
#define CVAE_GOLDEN_TOLERANCE 1e-4f

typedef struct {
    const char *name;
    void (*run)(void);
    const cvae_tensor *input, *outputs[CVAE_GOLDEN_OUTPUTS]; /* NULL where there is none */
    const int8_t *given, *wanted[CVAE_GOLDEN_OUTPUTS];       /* one case after the other */
} cvae_golden_graph;

typedef struct {
    const char *name;
    void (*run)(void);
    const cvae_floats *input, *outputs[CVAE_GOLDEN_OUTPUTS];
    const float *given, *wanted[CVAE_GOLDEN_OUTPUTS];
} cvae_golden_floats;

extern const cvae_golden_graph cvae_golden_graphs[];
extern const cvae_golden_floats cvae_golden_priors[]; /* up to one without a name */
extern const int32_t cvae_golden_count, cvae_golden_cases; /* graphs; cases of each */
extern const float cvae_golden_noise[CVAE_LATENT_DIM];     /* of image 0 of stream 0 */

#endif
