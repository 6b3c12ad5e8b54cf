/* How many values differ from the golden ones: 0 on a right device. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cvae_golden.h"
#include "cvae_noise.h"

static const float tolerance = 1e-6f; /* of the noise: C libraries differ in a last bit */

static int32_t check_graph(const cvae_golden_graph *g)
{
    int32_t wrong = 0, compared = 0;
    for (int32_t i = 0; i < cvae_golden_cases; i++) {
        memcpy(g->input->data, g->given + i * g->input->count, (size_t)g->input->count);
        g->run();
        for (int k = 0; k < CVAE_GOLDEN_OUTPUTS && g->outputs[k]; k++) {
            const cvae_tensor *y = g->outputs[k];
            for (int32_t j = 0; j < y->count; j++) {
                wrong += y->data[j] != g->wanted[k][i * y->count + j];
            }
            compared += y->count;
        }
    }
    printf("%s: %ld of %ld integers differ\n", g->name, (long)wrong, (long)compared);
    return wrong;
}

static int32_t check_prior(const cvae_golden_floats *g)
{
    int32_t wrong = 0, compared = 0;
    for (int32_t i = 0; i < cvae_golden_cases; i++) {
        const size_t bytes = (size_t)g->input->count * sizeof(float);
        memcpy(g->input->data, g->given + i * g->input->count, bytes);
        g->run();
        for (int k = 0; k < CVAE_GOLDEN_OUTPUTS && g->outputs[k]; k++) {
            const cvae_floats *y = g->outputs[k];
            for (int32_t j = 0; j < y->count; j++) {
                const float difference = y->data[j] - g->wanted[k][i * y->count + j];
                wrong += !(fabsf(difference) <= CVAE_GOLDEN_TOLERANCE);
            }
            compared += y->count;
        }
    }
    printf("%s: %ld of %ld values differ\n", g->name, (long)wrong, (long)compared);
    return wrong;
}

static int32_t check_noise(void)
{
    static float eps[CVAE_LATENT_DIM];
    int32_t wrong = 0;
    cvae_noise(0, 0, 0, CVAE_LATENT_DIM, eps);
    for (int32_t i = 0; i < CVAE_LATENT_DIM; i++) {
        wrong += !(fabsf(eps[i] - cvae_golden_noise[i]) <= tolerance);
    }
    printf("noise: %ld of %ld values differ\n", (long)wrong, (long)CVAE_LATENT_DIM);
    return wrong;
}

int main(void)
{
    int32_t wrong = check_noise();
    for (int32_t i = 0; i < cvae_golden_count; i++) {
        wrong += check_graph(&cvae_golden_graphs[i]);
    }
    for (const cvae_golden_floats *g = cvae_golden_priors; g->name; g++) {
        wrong += check_prior(g);
    }
    return wrong ? 1 : 0;
}
