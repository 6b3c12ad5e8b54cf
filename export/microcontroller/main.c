/* An image from a seed, as text; and its score, where the model can give one. */
#include <stdio.h>

#include "cvae_sample.h"

#ifndef SEED
#define SEED 0
#endif

static uint8_t pixels[CVAE_PIXELS];

int main(void)
{
    static const char shades[] = " .:-=+*#%@";
#if CVAE_HAS_DECODER
    cvae_generate(SEED, 0, pixels);
#endif
    for (int row = 0; row < CVAE_HEIGHT; row++) {
        for (int column = 0; column < CVAE_WIDTH; column++) { /* the first channel */
            const int value = pixels[(row * CVAE_WIDTH + column) * CVAE_CHANNELS];
            const char shade = shades[value * (int)(sizeof shades - 1) / 256];
            putchar(shade);
            putchar(shade); /* letters are twice as high as wide */
        }
        putchar('\n');
    }
#if CVAE_HAS_SCORE
    printf("score: %.2f nats\n", (double)cvae_score(pixels));
#endif
    return 0;
}
