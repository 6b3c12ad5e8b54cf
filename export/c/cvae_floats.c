/* See cvae_floats.h. */
#include "cvae_floats.h"

#include <math.h>
#include <string.h>

static float dot_integers(const int8_t *w, const float *x, int32_t n)
{
    float sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += (float)w[i] * x[i];
    }
    return sum;
}

static float dot(const float *w, const float *x, int32_t n)
{
    float sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

void cvae_float_dense(const cvae_float_layer *d, const float *x, float *y)
{
    for (int32_t o = 0; o < d->outputs; o++) {
        const int32_t row = o * d->inputs;
        float sum = d->integers ? d->scale[o] * dot_integers(d->integers + row, x, d->inputs)
                                : dot(d->weights + row, x, d->inputs);
        if (d->bias) {
            sum += d->bias[o];
        }
        y[o] = d->relu && sum < 0 ? 0 : sum;
    }
}

void cvae_float_add(const float *a, const float *b, float *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        y[i] = a[i] + b[i];
    }
}

void cvae_float_multiply(const float *a, const float *b, float *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        y[i] = a[i] * b[i];
    }
}

void cvae_float_tanh(const float *x, float *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        y[i] = tanhf(x[i]);
    }
}

void cvae_float_exp(const float *x, float *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        y[i] = expf(x[i]);
    }
}

void cvae_float_copy(const float *x, float *y, int32_t n)
{
    memcpy(y, x, (size_t)n * sizeof *y);
}
