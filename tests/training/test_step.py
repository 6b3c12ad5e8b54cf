import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import blobs
from scipy import stats

from cvae_edge.architectures.presets import build_preset
from cvae_edge.architectures.vae import VAE
from cvae_edge.config import TrainConfig
from cvae_edge.errors import ConfigError
from cvae_edge.training.step import make_optimizer, make_scale, make_step

CONFIG = TrainConfig(epochs=4, batch_size=40, learning_rate=1e-2, seed=3)


def run_steps(model, config, images, steps=3, binarize="threshold"):
    vae = model if isinstance(model, VAE) else build_preset(model, config.seed)
    scale = make_scale(vae, config)
    optimizer = make_optimizer(vae, scale, config, steps)
    step = make_step(vae, scale, optimizer, config, binarize, tf.distribute.get_strategy())
    vae.scale = scale
    return vae, [step(images, number) for number in range(steps)]


def test_a_step_is_adam_on_the_elbo_written_out(tiny_model):
    """Against one GradientTape over the whole batch, with scipy's densities for the value."""
    images = blobs(40)
    vae, results = run_steps(tiny_model, CONFIG, images)
    plain = build_preset(tiny_model, CONFIG.seed)
    optimizer = keras.optimizers.Adam(CONFIG.learning_rate)
    x = (images >= 128).astype(np.float32)
    for number, (loss, log_px, kl) in enumerate(results):
        eps = tf.random.stateless_normal([40, 3], [CONFIG.seed, number], alg="philox")
        with tf.GradientTape() as tape:
            posterior = plain.encoder(x)
            z = posterior["mean"] + tf.exp(posterior["logvar"] / 2) * eps
            logits = plain.decoder(z)["x_logits"]
            likelihood = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
            objective = tf.reduce_sum(likelihood) + tf.reduce_sum(
                (z**2 - eps**2 - posterior["logvar"]) / 2
            )
            objective /= 40
        p = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
        scale = np.exp(posterior["logvar"].numpy() / 2)
        expected_kl = stats.norm.logpdf(z, posterior["mean"], scale) - stats.norm.logpdf(z)
        assert log_px == pytest.approx(stats.bernoulli.logpmf(x, p).sum() / 40, rel=1e-4)
        assert kl == pytest.approx(expected_kl.sum() / 40, rel=1e-3)
        assert loss == pytest.approx(kl - log_px, rel=1e-5)
        optimizer.apply(tape.gradient(objective, plain.variables), plain.variables)
    for name, value in plain.weights().items():
        np.testing.assert_allclose(vae.weights()[name], value, atol=2e-4, err_msg=name)


def test_beta_weighs_the_kl_term(tiny_model):
    _, [(loss, log_px, kl)] = run_steps(
        tiny_model, dataclasses.replace(CONFIG, beta=3.0), blobs(40), 1
    )
    assert loss == pytest.approx(3 * kl - log_px, rel=1e-5)


def test_analytic_kl_differs_from_the_sample_and_is_near_it(tiny_model):
    (sample,), (analytic,) = (
        run_steps(tiny_model, dataclasses.replace(CONFIG, kl=kl), blobs(40), 1)[1]
        for kl in ("sample", "analytic")
    )
    assert sample[1] == analytic[1]
    assert sample[2] != analytic[2]
    assert sample[2] == pytest.approx(analytic[2], abs=0.5)


def test_dynamic_binarization_draws_anew_each_step_with_the_pixels_probability(tiny_model):
    grey = np.full((40, 8, 8, 1), 0.3, np.float32)
    config = dataclasses.replace(CONFIG, learning_rate=1e-30)
    _, results = run_steps(tiny_model, config, grey, 40, "draw")
    black = run_steps(tiny_model, config, np.zeros_like(grey), 1)[1][0][1]
    white = run_steps(tiny_model, config, np.ones_like(grey), 1)[1][0][1]
    drawn = np.array([log_px for _, log_px, _ in results])
    assert len(set(drawn)) == 40
    # 64 pixels of 40 images in 40 steps, each on with p = 0.3: the mean is linear in p.
    assert drawn.mean() == pytest.approx(0.7 * black + 0.3 * white, abs=0.2)


def test_learning_rate_rises_over_the_warm_up_and_falls_along_a_half_cosine(tiny_model):
    config = TrainConfig(epochs=5, learning_rate=0.1, warmup_epochs=1, final_rate=0.1)
    rate = make_optimizer(build_preset(tiny_model), None, config, steps_per_epoch=10)._learning_rate
    got = [float(rate(step)) for step in (0, 5, 10, 30, 50)]
    np.testing.assert_allclose(got, [0, 0.05, 0.1, 0.055, 0.01], rtol=1e-5)


def test_constant_learning_rate_stays(tiny_model):
    optimizer = make_optimizer(build_preset(tiny_model), None, TrainConfig(), 10)
    assert float(optimizer.learning_rate) == pytest.approx(1e-4)


def test_batch_must_be_shared_out_equally(tiny_model):
    three_replicas = SimpleNamespace(num_replicas_in_sync=3)
    with pytest.raises(ConfigError, match="multiple of the 3 replicas, got 40"):
        make_step(build_preset(tiny_model), None, None, CONFIG, "threshold", three_replicas)


def test_gaussian_steps_are_those_of_the_best_standard_deviation_so_far(tiny_model):
    """Its running optimum, written out; the gradient takes it as it was before the step."""
    config = dataclasses.replace(CONFIG, likelihood="gaussian", learning_rate=1e-30)
    images = blobs(40)
    x = images.astype(np.float32) / 255
    vae, results = run_steps(tiny_model, config, images, 4, "none")
    variance = 0.25**2
    for number, (_, log_px, _) in enumerate(results):
        eps = tf.random.stateless_normal([40, 3], [config.seed, number], alg="philox")
        posterior = vae.encoder(x)
        z = posterior["mean"] + tf.exp(posterior["logvar"] / 2) * eps
        mean = tf.sigmoid(vae.decoder(z)["x_logits"]).numpy()
        expected = stats.norm.logpdf(x, mean, np.sqrt(variance)).sum() / 40
        assert log_px == pytest.approx(expected, rel=1e-4)
        share = 1 / (number + 1)
        variance = (1 - share) * variance + share * np.square(x - mean).mean()
    assert float(vae.scale.numpy()) == pytest.approx(variance, rel=1e-4)


def test_logistic_scales_are_trained_with_the_weights(tiny_model):
    config = dataclasses.replace(CONFIG, likelihood="logistic")
    vae, results = run_steps(tiny_model, config, blobs(40), 60, "none")
    assert np.exp(vae.scale.numpy()).item() != pytest.approx(0.15, rel=0.1)
    assert results[-1][1] > results[0][1] + 10


def test_batch_normalization_and_dropout_are_trained_as_keras_does(tiny_model):
    x, z = keras.Input((8, 8, 1), name="x"), keras.Input((3,), name="z")
    h = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, 2, "same")(x))
    h = keras.layers.Dropout(0.5, seed=1)(keras.layers.Flatten()(h))
    posterior = {name: keras.layers.Dense(3)(h) for name in ("mean", "logvar")}
    image = keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64)(z))
    vae = VAE(keras.Model(x, posterior), keras.Model(z, {"x_logits": image}))
    before = {n: w for n, w in vae.weights().items() if "moving" in n}
    run_steps(vae, CONFIG, blobs(40), 2)
    assert len(before) == 2
    assert not any(np.array_equal(before[name], vae.weights()[name]) for name in before)
    x = np.ones((2, 8, 8, 1), np.float32)
    first, second = (vae.encoder(x, training=False)["mean"].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_gradients_are_clipped_by_their_norm_all_together(tiny_model):
    optimizer = make_optimizer(
        build_preset(tiny_model), None, dataclasses.replace(CONFIG, clip_norm=2.0), 10
    )
    assert optimizer.global_clipnorm == 2.0
