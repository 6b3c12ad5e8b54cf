/* See cvae_kernels.h. Signed values are shifted right as every compiler in use does it. */
#include "cvae_kernels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>
#endif

#define CHANNELS_AT_ONCE 4 /* they share the loads of the input */
#define DEPTHWISE_AT_ONCE 16

static int32_t clamped(int32_t x, int32_t lowest, int32_t highest)
{
    return x < lowest ? lowest : x > highest ? highest : x;
}

/* x * multiplier * 2^(shift - 31), rounded once, halves upwards. */
static int32_t scaled_once(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t right = 31 - shift;
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << (right - 1))) >> right);
}

/* The same, rounded twice: TFLite's MultiplyByQuantizedMultiplier. */
static int32_t scaled(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t product = (int64_t)x * ((int64_t)1 << left) * multiplier;
    const int64_t half = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
    const int32_t high = (int32_t)((product + half) / ((int64_t)1 << 31));
    const int32_t mask = (int32_t)(((uint32_t)1 << right) - 1);
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0));
}

#ifdef __ARM_FEATURE_DSP
/* Bytes 1 and 3 of a word in 16 bits each; __sxtb16 takes 0 and 2. A turn costs nothing there. */
static inline int16x2_t odd_of(uint32_t word)
{
    int16x2_t odd;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
    return odd;
}

static inline int16x2_t odd_sum(int16x2_t both, uint32_t word)
{
    int16x2_t sum;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(sum) : "r"(both), "r"(word));
    return sum;
}
#endif

/* Add the products of x + offset with four rows of weights, `step` apart, to four sums. */
static void dot4(const int8_t *x, int32_t offset, const int8_t *w, int32_t n, int32_t step,
                 int32_t *sums)
{
    const int8_t *w0 = w, *w1 = w0 + step, *w2 = w1 + step, *w3 = w2 + step;
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3], i = 0;
#ifdef __ARM_FEATURE_DSP
    const int16x2_t both = (int16x2_t)((uint32_t)(offset & 0xffff) | (uint32_t)offset << 16);
    for (; i + 4 <= n; i += 4) {
        uint32_t v, a, b;
        memcpy(&v, x + i, 4);
        const int16x2_t even = __sxtab16(both, (int8x4_t)v), odd = odd_sum(both, v);
        memcpy(&a, w0 + i, 4);
        memcpy(&b, w0 + step + i, 4);
        s0 = __smlad(__sxtb16((int8x4_t)a), even, s0);
        s1 = __smlad(__sxtb16((int8x4_t)b), even, s1);
        s0 = __smlad(odd_of(a), odd, s0);
        s1 = __smlad(odd_of(b), odd, s1);
        memcpy(&a, w2 + i, 4);
        memcpy(&b, w2 + step + i, 4);
        s2 = __smlad(__sxtb16((int8x4_t)a), even, s2);
        s3 = __smlad(__sxtb16((int8x4_t)b), even, s3);
        s2 = __smlad(odd_of(a), odd, s2);
        s3 = __smlad(odd_of(b), odd, s3);
    }
#endif
    for (; i < n; i++) { /* 16 bits hold x + offset: compilers multiply pairs of them at once */
        const int16_t v = (int16_t)(x[i] + (int16_t)offset);
        s0 += v * (int16_t)w0[i];
        s1 += v * (int16_t)w1[i];
        s2 += v * (int16_t)w2[i];
        s3 += v * (int16_t)w3[i];
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

static int32_t dot1(const int8_t *x, int32_t offset, const int8_t *w, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const int16_t v = (int16_t)(x[i] + (int16_t)offset);
        sum += v * (int16_t)w[i];
    }
    return sum;
}

/* Products with `count` rows of weights, 1 to CHANNELS_AT_ONCE. */
static void dot(const int8_t *x, int32_t offset, const int8_t *w, int32_t n, int32_t step,
                int32_t count, int32_t *sums)
{
    if (count == CHANNELS_AT_ONCE) {
        dot4(x, offset, w, n, step, sums);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        sums[i] += dot1(x, offset, w + i * step, n);
    }
}

static int8_t finished(const cvae_conv *c, int32_t sum, int32_t channel)
{
    const int32_t multiplier = c->multiplier[c->step * channel], shift = c->shift[c->step * channel];
    const int32_t x = sum + (c->bias ? c->bias[channel] : 0);
    const int32_t y = c->rounds == 1 ? scaled_once(x, multiplier, shift)
                                     : scaled(x, multiplier, shift);
    return (int8_t)clamped(y + c->out_offset, c->lowest, c->highest);
}

/* Put what a kernel sees from a pixel into one row; outside the image is the zero point. */
static void gather(const cvae_conv *c, const int8_t *x, int32_t top, int32_t left, int8_t *patch)
{
    for (int32_t ky = 0; ky < c->kernel_h; ky++) {
        const int32_t row = top + ky * c->dilation_h;
        for (int32_t kx = 0; kx < c->kernel_w; kx++) {
            const int32_t column = left + kx * c->dilation_w;
            if (row >= 0 && row < c->in_h && column >= 0 && column < c->in_w) {
                memcpy(patch, x + (row * c->in_w + column) * c->in_c, (size_t)c->in_c);
            } else {
                memset(patch, -c->in_offset, (size_t)c->in_c);
            }
            patch += c->in_c;
        }
    }
}

void cvae_conv2d(const cvae_conv *c, const int8_t *x, int8_t *y, int8_t *patch)
{
    const int32_t n = c->kernel_h * c->kernel_w * c->in_c;
    for (int32_t row = 0; row < c->out_h; row++) {
        for (int32_t column = 0; column < c->out_w; column++) {
            const int8_t *seen = x + (row * c->in_w + column) * c->in_c;
            int8_t *out = y + row * c->out_row + column * c->out_pixel;
            if (patch) {
                gather(c, x, row * c->stride_h - c->pad_top, column * c->stride_w - c->pad_left,
                       patch);
                seen = patch;
            }
            for (int32_t first = 0; first < c->out_c; first += CHANNELS_AT_ONCE) {
                const int32_t rest = c->out_c - first;
                const int32_t count = rest < CHANNELS_AT_ONCE ? rest : CHANNELS_AT_ONCE;
                int32_t sums[CHANNELS_AT_ONCE] = {0};
                dot(seen, c->in_offset, c->weights + first * n, n, n, count, sums);
                for (int32_t i = 0; i < count; i++) {
                    out[first + i] = finished(c, sums[i], first + i);
                }
            }
        }
    }
}

void cvae_depthwise(const cvae_conv *c, const int8_t *x, int8_t *y)
{
    const int32_t many = c->out_c / c->in_c; /* output channels of an input channel */
    for (int32_t row = 0; row < c->out_h; row++) {
        for (int32_t column = 0; column < c->out_w; column++) {
            int8_t *out = y + row * c->out_row + column * c->out_pixel;
            for (int32_t first = 0; first < c->out_c; first += DEPTHWISE_AT_ONCE) {
                const int32_t rest = c->out_c - first;
                const int32_t count = rest < DEPTHWISE_AT_ONCE ? rest : DEPTHWISE_AT_ONCE;
                int32_t sums[DEPTHWISE_AT_ONCE] = {0};
                for (int32_t tap = 0; tap < c->kernel_h * c->kernel_w; tap++) {
                    const int32_t i = row * c->stride_h - c->pad_top +
                                      tap / c->kernel_w * c->dilation_h;
                    const int32_t j = column * c->stride_w - c->pad_left +
                                      tap % c->kernel_w * c->dilation_w;
                    if (i < 0 || i >= c->in_h || j < 0 || j >= c->in_w) {
                        continue;
                    }
                    const int8_t *seen = x + (i * c->in_w + j) * c->in_c;
                    const int8_t *w = c->weights + tap * c->out_c + first;
                    if (many == 1) {
                        for (int32_t k = 0; k < count; k++) {
                            sums[k] += (seen[first + k] + c->in_offset) * w[k];
                        }
                    } else {
                        for (int32_t k = 0; k < count; k++) {
                            sums[k] += (seen[(first + k) / many] + c->in_offset) * w[k];
                        }
                    }
                }
                for (int32_t k = 0; k < count; k++) {
                    out[first + k] = finished(c, sums[k], first + k);
                }
            }
        }
    }
}

/* The row or column that a tap takes for a place of the output, or -1. */
static int32_t source(int32_t place, int32_t tap, int32_t stride, int32_t size)
{
    const int32_t at = place - tap;
    return at >= 0 && at % stride == 0 && at / stride < size ? at / stride : -1;
}

void cvae_conv2d_transposed(const cvae_conv *c, const int8_t *x, int8_t *y)
{
    const int32_t n = c->kernel_h * c->kernel_w * c->in_c;
    for (int32_t row = 0; row < c->out_h; row++) {
        for (int32_t column = 0; column < c->out_w; column++) {
            int8_t *out = y + row * c->out_row + column * c->out_pixel;
            for (int32_t first = 0; first < c->out_c; first += CHANNELS_AT_ONCE) {
                const int32_t rest = c->out_c - first;
                const int32_t count = rest < CHANNELS_AT_ONCE ? rest : CHANNELS_AT_ONCE;
                int32_t sums[CHANNELS_AT_ONCE] = {0};
                for (int32_t tap = 0; tap < c->kernel_h * c->kernel_w; tap++) {
                    const int32_t i = source(row + c->pad_top, tap / c->kernel_w, c->stride_h,
                                             c->in_h);
                    const int32_t j = source(column + c->pad_left, tap % c->kernel_w, c->stride_w,
                                             c->in_w);
                    if (i >= 0 && j >= 0) {
                        dot(x + (i * c->in_w + j) * c->in_c, c->in_offset,
                            c->weights + first * n + tap * c->in_c, c->in_c, n, count, sums);
                    }
                }
                for (int32_t k = 0; k < count; k++) {
                    out[first + k] = finished(c, sums[k], first + k);
                }
            }
        }
    }
}

/* One value of a pool: the mean or the largest of those of a channel that a window covers. */
static int32_t pooled(const cvae_pool *p, const int8_t *x, int32_t top, int32_t left, int is_max)
{
    int32_t sum = 0, count = 0, largest = INT8_MIN;
    for (int32_t i = top < 0 ? 0 : top; i < top + p->kernel_h && i < p->in_h; i++) {
        for (int32_t j = left < 0 ? 0 : left; j < left + p->kernel_w && j < p->in_w; j++) {
            const int32_t value = x[(i * p->in_w + j) * p->channels];
            sum += value;
            count++;
            largest = value > largest ? value : largest;
        }
    }
    const int32_t half = sum > 0 ? count / 2 : -(count / 2);
    return clamped(is_max ? largest : (sum + half) / count, p->lowest, p->highest);
}

static void pool(const cvae_pool *p, const int8_t *x, int8_t *y, int is_max)
{
    for (int32_t row = 0; row < p->out_h; row++) {
        for (int32_t column = 0; column < p->out_w; column++) {
            for (int32_t k = 0; k < p->channels; k++) {
                *y++ = (int8_t)pooled(p, x + k, row * p->stride_h - p->pad_top,
                                      column * p->stride_w - p->pad_left, is_max);
            }
        }
    }
}

void cvae_average_pool(const cvae_pool *p, const int8_t *x, int8_t *y)
{
    pool(p, x, y, 0);
}

void cvae_max_pool(const cvae_pool *p, const int8_t *x, int8_t *y)
{
    pool(p, x, y, 1);
}

void cvae_mean(const cvae_reduce *r, const int8_t *x, int8_t *y)
{
    for (int32_t k = 0; k < r->channels; k++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < r->pixels; i++) {
            sum += x[i * r->channels + k];
        }
        sum = scaled(sum - r->in_zero_point * r->pixels, r->multiplier, r->shift);
        y[k] = (int8_t)clamped(sum + r->out_zero_point, INT8_MIN, INT8_MAX);
    }
}

void cvae_move(const cvae_moves *m, const int8_t *x, int8_t *y)
{
    int32_t at[CVAE_MOVE_AXES] = {0};
    const int last = CVAE_MOVE_AXES - 1;
    for (;;) {
        const int8_t *from = x;
        int8_t *to = y;
        for (int k = 0; k < last; k++) {
            from += at[k] * m->from[k];
            to += at[k] * m->to[k];
        }
        for (int32_t i = 0; i < m->size[last]; i++) {
            to[i * m->to[last]] = from[i * m->from[last]];
        }
        int axis = last - 1;
        while (axis >= 0 && ++at[axis] == m->size[axis]) {
            at[axis--] = 0;
        }
        if (axis < 0) {
            return;
        }
    }
}

void cvae_fill(int8_t *y, int32_t n, int8_t value)
{
    memset(y, value, (size_t)n);
}

void cvae_lookup(const int8_t *x, int8_t *y, int32_t n, const int8_t *table)
{
    for (int32_t i = 0; i < n; i++) {
        y[i] = table[x[i] + 128];
    }
}

typedef int32_t (*pair_function)(const cvae_pair *p, int32_t a, int32_t b);

static int32_t sum_of(const cvae_pair *p, int32_t a, int32_t b)
{
    const int32_t places = 20; /* TFLite's, so that rounding costs nothing */
    const int32_t first = scaled(a * (1 << places), p->first_multiplier, p->first_shift);
    const int32_t second = scaled(b * (1 << places), p->second_multiplier, p->second_shift);
    return scaled(first + second, p->out_multiplier, p->out_shift);
}

static int32_t product_of(const cvae_pair *p, int32_t a, int32_t b)
{
    return scaled(a * b, p->out_multiplier, p->out_shift);
}

static void pairwise(const cvae_pair *p, const int8_t *a, const int8_t *b, int8_t *y,
                     pair_function function)
{
    const int32_t *n = p->size, *s = p->first, *t = p->second;
    for (int32_t i = 0; i < n[0]; i++) {
        for (int32_t j = 0; j < n[1]; j++) {
            for (int32_t k = 0; k < n[2]; k++) {
                for (int32_t l = 0; l < n[3]; l++) {
                    const int32_t first = a[i * s[0] + j * s[1] + k * s[2] + l * s[3]];
                    const int32_t second = b[i * t[0] + j * t[1] + k * t[2] + l * t[3]];
                    const int32_t value = function(p, first + p->first_offset,
                                                   second + p->second_offset);
                    *y++ = (int8_t)clamped(value + p->out_offset, p->lowest, p->highest);
                }
            }
        }
    }
}

void cvae_add(const cvae_pair *p, const int8_t *a, const int8_t *b, int8_t *y)
{
    pairwise(p, a, b, y, sum_of);
}

void cvae_multiply(const cvae_pair *p, const int8_t *a, const int8_t *b, int8_t *y)
{
    pairwise(p, a, b, y, product_of);
}

/* Where a row or column of the output lies in the input, in 1024ths, between two of its own. */
static int32_t between(int32_t place, int32_t scale, int32_t half_pixel, int32_t size, int32_t *low,
                       int32_t *high)
{
    const int32_t at = place * scale + (half_pixel ? scale / 2 - 512 : 0);
    const int32_t below = at / 1024, above = (at + 1023) / 1024;
    *low = below > 0 ? below : 0;
    *high = above < size - 1 ? above : size - 1;
    return at - 1024 * *low;
}

void cvae_resize_bilinear(const cvae_resize *r, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < r->out_h; row++) {
        int32_t top, bottom, left, right;
        const int32_t v = between(row, r->scale_h, r->half_pixel, r->in_h, &top, &bottom);
        for (int32_t column = 0; column < r->out_w; column++) {
            const int32_t u = between(column, r->scale_w, r->half_pixel, r->in_w, &left, &right);
            for (int32_t k = 0; k < r->channels; k++) {
                const int8_t *p = x + k;
                const int64_t a = p[(top * r->in_w + left) * r->channels];
                const int64_t b = p[(bottom * r->in_w + left) * r->channels];
                const int64_t c = p[(top * r->in_w + right) * r->channels];
                const int64_t d = p[(bottom * r->in_w + right) * r->channels];
                const int64_t sum = a * (1024 - v) * (1024 - u) + b * v * (1024 - u) +
                                    c * (1024 - v) * u + d * v * u;
                *y++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
            }
        }
    }
}

void cvae_quantize(const float *x, const cvae_tensor *t)
{
    for (int32_t i = 0; i < t->count; i++) {
        const float q = roundf(x[i] / t->scale) + (float)t->zero_point;
        t->data[i] = (int8_t)(q < INT8_MIN ? INT8_MIN : q > INT8_MAX ? INT8_MAX : q);
    }
}

void cvae_dequantize(const cvae_tensor *t, float *y)
{
    for (int32_t i = 0; i < t->count; i++) {
        y[i] = t->scale * (float)(t->data[i] - t->zero_point);
    }
}
