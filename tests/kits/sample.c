/* What cvae_sample.h and cvae_noise.h give, as text for a test. Images are in images.bin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cvae_noise.h"
#include "cvae_sample.h"

static uint8_t pixels[CVAE_PIXELS], x_recon[CVAE_PIXELS];
static float mean[CVAE_LATENT_DIM], logvar[CVAE_LATENT_DIM], eps[4096];

static void print_pixels(const uint8_t *image)
{
    for (int i = 0; i < CVAE_PIXELS; i++) {
        printf("%d ", image[i]);
    }
    putchar('\n');
}

static void print_floats(const float *values, int n)
{
    for (int i = 0; i < n; i++) {
        printf("%.9g ", (double)values[i]);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    const uint64_t seed = strtoull(argv[2], 0, 10), index = strtoull(argv[3], 0, 10);
    if (!strcmp(argv[1], "noise")) {
        const int n = atoi(argv[5]);
        cvae_noise(seed, strtoull(argv[4], 0, 10), index, n, eps);
        print_floats(eps, n);
        return 0;
    }
    const int is_draw = !strcmp(argv[1], "draw"), images = argc > 4 ? atoi(argv[4]) : 1;
    if (is_draw || !strcmp(argv[1], "generate")) {
        for (int i = 0; i < images; i++) { /* of as many seeds */
            if (is_draw) {
                cvae_draw(seed + (uint64_t)i, index, eps);
                print_floats(eps, CVAE_LATENT_DIM);
            } else {
                cvae_generate(seed + (uint64_t)i, index, pixels);
                print_pixels(pixels);
            }
        }
        return 0;
    }
    FILE *file = fopen("images.bin", "rb");
    while (file && fread(pixels, sizeof pixels, 1, file) == 1) {
        if (!strcmp(argv[1], "score")) {
            printf("%.9g\n", (double)cvae_score(pixels));
        } else if (!strcmp(argv[1], "encode")) {
            cvae_encode(pixels, mean, logvar);
            print_floats(mean, CVAE_LATENT_DIM);
            print_floats(logvar, CVAE_LATENT_DIM);
        } else {
            cvae_reconstruct(pixels, seed, index, x_recon);
            print_pixels(x_recon);
        }
    }
    return argc > 9;
}
