import dataclasses
import subprocess
import sys
from pathlib import Path
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
from cvae_edge.training.averaging import averaged_weights
from cvae_edge.training.layer_state import LayerState
from cvae_edge.training.scale import make_scale, scale_value
from cvae_edge.training.step import make_optimizer, make_step

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
    assert scale_value(make_scale(vae, config)).numpy().item() == pytest.approx(0.15)
    assert scale_value(vae.scale).numpy().item() != pytest.approx(0.15, rel=0.1)
    assert results[-1][1] > results[0][1] + 10


def own(*hidden, regularizer=None):
    """A pair with layers of one's own between the image and the posterior."""
    x, z = keras.Input((8, 8, 1), name="x"), keras.Input((3,), name="z")
    kernels = iter([keras.initializers.GlorotUniform(seed) for seed in range(9)])
    h = keras.layers.Conv2D(  # before a normalization a bias would have a gradient of noise alone
        4,
        3,
        2,
        "same",
        use_bias=False,
        kernel_initializer=next(kernels),
        kernel_regularizer=regularizer,
    )(x)
    for layer in hidden:
        h = layer(h)
    h = keras.layers.Flatten()(h)
    posterior = {
        name: keras.layers.Dense(3, kernel_initializer=next(kernels))(h)
        for name in ("mean", "logvar")
    }
    image = keras.layers.Dense(64, kernel_initializer=next(kernels))(z)
    image = keras.layers.Reshape((8, 8, 1))(image)
    return VAE(keras.Model(x, posterior), keras.Model(z, {"x_logits": image}))


def plain_steps(vae, images, steps, training=True):
    """What Keras does: one tape over the whole batch, with the models' own penalties."""
    x = (images >= 128).astype(np.float32)
    optimizer = keras.optimizers.Adam(CONFIG.learning_rate)
    for number in range(steps):
        eps = tf.random.stateless_normal([len(x), 3], [CONFIG.seed, number], alg="philox")
        with tf.GradientTape() as tape:
            posterior = vae.encoder(x, training=training)
            z = posterior["mean"] + tf.exp(posterior["logvar"] / 2) * eps
            logits = vae.decoder(z, training=training)["x_logits"]
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
            kl = tf.reduce_sum((z**2 - eps**2 - posterior["logvar"]) / 2)
            loss = (tf.reduce_sum(entropy) + kl) / len(x) + sum(vae.encoder.losses)
        optimizer.apply(tape.gradient(loss, vae.variables), vae.variables)
    return vae


def assert_equal_weights(vae, expected):
    # layers without a name are numbered through the process, so that names differ
    pairs = zip(vae.weights().items(), expected.weights().values(), strict=True)
    for (name, got), value in pairs:
        np.testing.assert_allclose(got, value, atol=2e-4, err_msg=name)


def test_batch_normalization_is_trained_as_keras_does():
    images = blobs(40)
    vae, _ = run_steps(own(keras.layers.BatchNormalization()), CONFIG, images, 3)
    expected = plain_steps(own(keras.layers.BatchNormalization()), images, 3)
    assert_equal_weights(vae, expected)
    statistics = [w for n, w in vae.weights().items() if "moving_mean" in n]
    assert len(statistics) == 1
    assert np.abs(statistics[0]).max() > 1e-3


def test_penalties_of_a_models_layers_are_added_to_the_loss():
    images = blobs(40)
    vae, _ = run_steps(own(regularizer=keras.regularizers.L2(0.5)), CONFIG, images, 3)
    assert_equal_weights(vae, plain_steps(own(regularizer=keras.regularizers.L2(0.5)), images, 3))


def test_dropout_draws_anew_in_each_step_what_follows_from_the_seed():
    """Whatever seed the layer itself was made with, and wherever its own generator stands."""
    frozen = dataclasses.replace(CONFIG, learning_rate=1e-30)
    runs = [
        run_steps(own(keras.layers.Dropout(0.5, seed=seed)), config, blobs(40), 3)[1]
        for seed, config in (
            (1, frozen),
            (None, frozen),
            (None, dataclasses.replace(frozen, seed=4)),
        )
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    without = run_steps(own(), frozen, blobs(40), 3)[1]
    ratios = [step[2] / plain[2] for step, plain in zip(runs[0], without, strict=True)]
    assert len(set(ratios)) == 3


def test_halves_of_a_batch_draw_their_own_dropout():
    """40 equal images: with one mask for both halves of the batch, 20 pairs would be equal."""
    state = LayerState(own(keras.layers.Dropout(0.5)), None)
    (seed,) = state._seeds
    values = [
        state.scope(3, tf.constant(step, tf.int64), place).get_current_value(seed).numpy().tolist()
        for step in (0, 1)
        for place in (0, 1)
    ]
    assert len({tuple(value) for value in values}) == 4


def test_averaged_weights_come_with_averaged_statistics():
    """After the first step the average is the value; then it moves by the optimizer's momentum."""
    config = dataclasses.replace(CONFIG, average_epochs=1.0, epochs=1)
    vae = own(keras.layers.BatchNormalization())
    optimizer = make_optimizer(vae, None, config, 4)
    assert optimizer.ema_momentum == 0.75
    state = LayerState(vae, optimizer.ema_momentum)
    step = make_step(vae, None, optimizer, config, "threshold", tf.distribute.get_strategy(), state)
    seen = []
    for number in range(3):
        step(blobs(40), number)
        seen.append(state.statistics[0].numpy())
    expected = 0.75 * (0.75 * seen[0] + 0.25 * seen[1]) + 0.25 * seen[2]
    with averaged_weights(optimizer, vae.variables, state):
        np.testing.assert_allclose(state.statistics[0].numpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal(state.statistics[0].numpy(), seen[2])


def test_gradients_are_clipped_by_their_norm_all_together():
    def change(clip_norm):
        vae = own()
        before = vae.weights()
        config = dataclasses.replace(CONFIG, clip_norm=clip_norm)
        optimizer = keras.optimizers.SGD(1.0)
        step = make_step(vae, None, optimizer, config, "threshold", tf.distribute.get_strategy())
        step(blobs(40), 0)
        return np.concatenate([(w - before[n]).ravel() for n, w in vae.weights().items()])

    free, clipped = change(None), change(0.01)
    assert np.linalg.norm(free) > 1
    assert np.linalg.norm(clipped) == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_allclose(clipped / 0.01, free / np.linalg.norm(free), atol=1e-4)


def test_two_replicas_do_what_one_does():
    """In a process of its own, for the devices must be there before TensorFlow starts."""
    script = Path(__file__).with_name("replicas_script.py")
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
