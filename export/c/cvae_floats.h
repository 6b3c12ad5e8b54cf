/* Floating point kernels of cvae_edge, for a learned prior: kernels of 8 bits or floats, float
 * activations. Other compilers and C libraries differ in the last bits.
 */
#ifndef CVAE_FLOATS_H
#define CVAE_FLOATS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where an input or output of a float graph lies. */
typedef struct {
    float *data;
    int32_t count;
} cvae_floats;

typedef struct {
    int32_t inputs, outputs, relu;
    const int8_t *integers;  /* outputs, inputs: weights over their scale; or NULL */
    const float *scale;      /* of each output's integers */
    const float *weights;    /* outputs, inputs; NULL where there are integers */
    const float *bias;       /* outputs, or NULL */
} cvae_float_layer;

void cvae_float_dense(const cvae_float_layer *d, const float *x, float *y);

/* Of n values, one by one. */
void cvae_float_add(const float *a, const float *b, float *y, int32_t n);
void cvae_float_multiply(const float *a, const float *b, float *y, int32_t n);
void cvae_float_tanh(const float *x, float *y, int32_t n);
void cvae_float_exp(const float *x, float *y, int32_t n);
void cvae_float_copy(const float *x, float *y, int32_t n);

#ifdef __cplusplus
}
#endif

#endif
