/* See cvae_sample.h. */
#include "cvae_sample.h"

#include <math.h>
#include <string.h>

#include "cvae_noise.h"

#if CVAE_HAS_DECODER
static float latents[CVAE_LATENT_DIM];

static void write_pixels(uint8_t *pixels)
{
    for (int32_t i = 0; i < CVAE_PIXELS; i++) {
        pixels[i] = cvae_pixel_of_logit[cvae_decoder_x_logits.data[i] + 128];
    }
}

void cvae_decode(const float *z, uint8_t *pixels)
{
    cvae_quantize(z, &cvae_decoder_z);
    cvae_decoder_run();
    write_pixels(pixels);
}

void cvae_draw(uint64_t seed, uint64_t index, float *z)
{
#if CVAE_HAS_PRIOR
    cvae_noise(seed, 0, index, CVAE_LATENT_DIM, cvae_prior_eps.data);
    cvae_prior_run();
    memcpy(z, cvae_prior_z.data, CVAE_LATENT_DIM * sizeof *z);
#else
    cvae_noise(seed, 0, index, CVAE_LATENT_DIM, z);
#endif
}

void cvae_generate(uint64_t seed, uint64_t index, uint8_t *pixels)
{
    cvae_draw(seed, index, latents);
    cvae_decode(latents, pixels);
}
#endif

#if CVAE_HAS_ENCODER
static void run_encoder(const uint8_t *pixels)
{
    for (int32_t i = 0; i < CVAE_PIXELS; i++) {
        cvae_encoder_x.data[i] = cvae_input_of_pixel[pixels[i]];
    }
    cvae_encoder_run();
}

void cvae_encode(const uint8_t *pixels, float *mean, float *logvar)
{
    run_encoder(pixels);
    cvae_dequantize(&cvae_encoder_mean, mean);
    cvae_dequantize(&cvae_encoder_logvar, logvar);
}
#endif

#if CVAE_HAS_ENCODER && CVAE_HAS_DECODER
static float real(const cvae_tensor *t, int32_t i)
{
    return t->scale * (float)(t->data[i] - t->zero_point);
}

void cvae_reconstruct(const uint8_t *pixels, uint64_t seed, uint64_t index, uint8_t *x_recon)
{
    run_encoder(pixels);
    cvae_noise(seed, 0, index, CVAE_LATENT_DIM, latents);
    for (int32_t i = 0; i < CVAE_LATENT_DIM; i++) { /* z = mean + exp(logvar / 2) * eps */
        latents[i] = real(&cvae_encoder_mean, i) +
                     expf(0.5f * real(&cvae_encoder_logvar, i)) * latents[i];
    }
    cvae_decode(latents, x_recon);
}

#endif

#if CVAE_HAS_SCORE
#if CVAE_HAS_DENSITY
/* log p(z) less that of the standard normal */
static float prior_gain(const float *z)
{
    float sum = 0;
    memcpy(cvae_density_z.data, z, CVAE_LATENT_DIM * sizeof *z);
    cvae_density_run();
    for (int32_t i = 0; i < CVAE_LATENT_DIM; i++) {
        const float eps = cvae_density_eps.data[i];
        sum += 0.5f * (z[i] * z[i] - eps * eps);
    }
    return sum + cvae_density_log_det.data[0];
}
#endif

#if CVAE_LIKELIHOOD != CVAE_GAUSSIAN
/* log(1 + exp(x)), which cannot overflow */
static float softplus(float x)
{
    return (x > 0 ? x : 0) + logf(1 + expf(-fabsf(x)));
}
#endif

#if CVAE_LIKELIHOOD != CVAE_BERNOULLI
static float sigmoid(float x)
{
    return 1 / (1 + expf(x < -88 ? 88 : -x));
}
#endif

/* log p of one value, in [0, 1], of a channel */
static float log_prob(float x, float logit, int32_t channel)
{
#if CVAE_LIKELIHOOD == CVAE_BERNOULLI
    (void)channel;
    return x * logit - softplus(logit);
#elif CVAE_LIKELIHOOD == CVAE_GAUSSIAN
    const float sigma = cvae_likelihood_scale[0], residual = x - sigmoid(logit);
    (void)channel;
    return -residual * residual / (2 * sigma * sigma) - logf(sigma) - 0.91893853f;
#else /* the discretized logistic, over 256 levels */
    const float scale = cvae_likelihood_scale[channel], half = 0.5f / 255;
    const float centred = x - sigmoid(logit);
    const float upper = -softplus((-half - centred) / scale);
    const float lower = -softplus((centred - half) / scale);
    if (x < half) {
        return upper;
    }
    return x > 1 - half ? lower : upper + lower + logf(-expm1f(-2 * half / scale));
#endif
}

float cvae_score(const uint8_t *pixels)
{
    double sum = 0;
    run_encoder(pixels);
    for (int32_t i = 0; i < CVAE_LATENT_DIM; i++) {
        const float mean = real(&cvae_encoder_mean, i), logvar = real(&cvae_encoder_logvar, i);
        sum -= 0.5f * (mean * mean + expf(logvar) - logvar - 1);
        latents[i] = mean;
    }
#if CVAE_HAS_DENSITY
    sum += prior_gain(latents);
#endif
    cvae_quantize(latents, &cvae_decoder_z);
    cvae_decoder_run();
    for (int32_t i = 0; i < CVAE_PIXELS; i++) {
        const float x = CVAE_BINARY ? (float)(pixels[i] >= 128) : (float)pixels[i] / 255;
        sum += log_prob(x, real(&cvae_decoder_x_logits, i), i % CVAE_CHANNELS);
    }
    return (float)sum;
}
#endif
