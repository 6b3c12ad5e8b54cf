"""Trains some steps on one device and on two, and fails unless they agree."""

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402

from cvae_edge.architectures.presets import build_preset  # noqa: E402
from cvae_edge.architectures.vae import VAE  # noqa: E402
from cvae_edge.config import ModelConfig, TrainConfig  # noqa: E402
from cvae_edge.training.layer_state import LayerState  # noqa: E402
from cvae_edge.training.scale import make_scale, scale_value  # noqa: E402
from cvae_edge.training.step import make_optimizer, make_step  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 2), np.uint8)


def preset():
    return build_preset(ModelConfig("general", (8, 8, 2), 3, width=0.25), 1)


def with_state():
    """Layers that change themselves in training."""
    x, z = keras.Input((8, 8, 2), name="x"), keras.Input((3,), name="z")
    h = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    h = keras.layers.Dropout(0.3)(h)
    posterior = {name: keras.layers.Dense(3)(h) for name in ("mean", "logvar")}
    image = keras.layers.Reshape((8, 8, 2))(keras.layers.Dense(128)(z))
    return VAE(keras.Model(x, posterior), keras.Model(z, {"x_logits": image}))


def train(build, likelihood, strategy, images=IMAGES):
    config = TrainConfig(
        2, len(images), 1e-2, average_epochs=0.5, likelihood=likelihood, clip_norm=3.0
    )
    with strategy.scope():
        vae = build()
        scale = make_scale(vae, config)
        optimizer = make_optimizer(vae, scale, config, 4)
        state = LayerState(vae, optimizer.ema_momentum)
    binarize = "draw" if likelihood == "bernoulli" else "none"
    step = make_step(vae, scale, optimizer, config, binarize, strategy, state)
    results = np.array([step(images, number) for number in range(4)])
    values = [] if scale is None else scale_value(scale).numpy()
    return results, vae, np.asarray(values), state


one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for likelihood in ("bernoulli", "gaussian", "logistic"):
    (results, vae, scale, _), (expected, plain, plain_scale, _) = (
        train(preset, likelihood, strategy) for strategy in (two, one)
    )
    np.testing.assert_allclose(results, expected, rtol=1e-3, err_msg=likelihood)
    np.testing.assert_allclose(scale, plain_scale, rtol=1e-3)
    for name, value in plain.weights().items():
        np.testing.assert_allclose(vae.weights()[name], value, atol=2e-3, err_msg=name)

_, vae, _, state = train(with_state, "gaussian", two)
weights = vae.weights()
(mean,) = (value for name, value in weights.items() if "moving_mean" in name)
# Keras moves statistics by 1% a step; both replicas' means add up to the images' mean.
np.testing.assert_allclose(mean, (1 - 0.99**4) * IMAGES.mean((0, 1, 2)) / 255, rtol=1e-3)
for variable in state.statistics:
    copies = [copy.numpy() for copy in two.experimental_local_results(variable.value)]
    np.testing.assert_array_equal(copies[0], copies[1])
