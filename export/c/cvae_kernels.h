/* Integer kernels of cvae_edge: the same integers as LiteRT's reference kernels, to the bit.
 *
 * Tensors are int8. A value q stands for scale * (q - zero_point). Images are stored row by row,
 * pixel by pixel, channel by channel. Nothing is allocated and nothing is read from a file.
 */
#ifndef CVAE_KERNELS_H
#define CVAE_KERNELS_H

#include <stdint.h>

#define CVAE_MOVE_AXES 6
#define CVAE_BINARY_AXES 4

#ifdef __cplusplus
extern "C" {
#endif

/* A convolution, of one group, depthwise or transposed; a dense layer is one of one pixel. */
typedef struct {
    int32_t in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t out_row, out_pixel;      /* from one row or pixel of the output to the next */
    int32_t in_offset, out_offset;   /* less the input's zero point; the output's zero point */
    int32_t lowest, highest;         /* of the output, by its fused activation */
    int32_t step;                    /* 1: a multiplier for each output channel; 0: one for all */
    int32_t rounds;                  /* of a scaled sum: LiteRT rounds a dense layer's once */
    const int8_t *weights;           /* out_c, kernel_h, kernel_w, in_c; depthwise: without out_c */
    const int32_t *bias;             /* out_c, or NULL */
    const int32_t *multiplier;
    const int8_t *shift;
} cvae_conv;

/* patch: kernel_h * kernel_w * in_c values; NULL where a kernel has one tap and no stride */
void cvae_conv2d(const cvae_conv *c, const int8_t *x, int8_t *y, int8_t *patch);
void cvae_depthwise(const cvae_conv *c, const int8_t *x, int8_t *y);
void cvae_conv2d_transposed(const cvae_conv *c, const int8_t *x, int8_t *y);

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t lowest, highest;
} cvae_pool;

void cvae_average_pool(const cvae_pool *p, const int8_t *x, int8_t *y);
void cvae_max_pool(const cvae_pool *p, const int8_t *x, int8_t *y);

/* The mean over all pixels of each channel. */
typedef struct {
    int32_t pixels, channels, in_zero_point, out_zero_point, multiplier, shift;
} cvae_reduce;

void cvae_mean(const cvae_reduce *r, const int8_t *x, int8_t *y);

/* Whatever only moves values: parts, transpositions, depth to space, repetitions. */
typedef struct {
    int32_t size[CVAE_MOVE_AXES], from[CVAE_MOVE_AXES], to[CVAE_MOVE_AXES];
} cvae_moves;

void cvae_move(const cvae_moves *m, const int8_t *x, int8_t *y);
void cvae_fill(int8_t *y, int32_t n, int8_t value);

/* A function of one value, by a table of its 256 results from -128 onwards; y may be x. */
void cvae_lookup(const int8_t *x, int8_t *y, int32_t n, const int8_t *table);

/* Of two tensors, of which one may be repeated: a stride of 0; y may be either. */
typedef struct {
    int32_t size[CVAE_BINARY_AXES], first[CVAE_BINARY_AXES], second[CVAE_BINARY_AXES];
    int32_t first_offset, second_offset, out_offset, lowest, highest;
    int32_t first_multiplier, second_multiplier, out_multiplier;
    int32_t first_shift, second_shift, out_shift;
} cvae_pair;

void cvae_add(const cvae_pair *p, const int8_t *a, const int8_t *b, int8_t *y);
void cvae_multiply(const cvae_pair *p, const int8_t *a, const int8_t *b, int8_t *y);

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t scale_h, scale_w;        /* of the input in the output, times 1024 */
    int32_t half_pixel;              /* whether pixels have their centres at halves */
} cvae_resize;

void cvae_resize_bilinear(const cvae_resize *r, const int8_t *x, int8_t *y);

/* From and to floating point, as LiteRT's QUANTIZE and DEQUANTIZE. */
typedef struct {
    int8_t *data;
    int32_t count;
    float scale;
    int32_t zero_point;
} cvae_tensor;

void cvae_quantize(const float *x, const cvae_tensor *t);
void cvae_dequantize(const cvae_tensor *t, float *y);

#ifdef __cplusplus
}
#endif

#endif
