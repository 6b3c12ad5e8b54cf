"""The TensorFlow loops of training.py, each in a process of its own.

``training.py`` starts it with the loop's name, the batch size and the images a turn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from turns import serve, timed

from cvae_edge.config import ModelConfig, TrainConfig
from cvae_edge.datasets.packaged import read_mnist
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from cvae_edge.architectures.presets import build_preset  # noqa: E402
from cvae_edge.architectures.vae import VAE  # noqa: E402
from cvae_edge.training import elbo  # noqa: E402
from cvae_edge.training.likelihoods import log_bernoulli  # noqa: E402
from cvae_edge.training.step import make_optimizer, make_step  # noqa: E402

Turn = Callable[[], None]


def ours(images: np.ndarray, batch_size: int) -> Turn:
    config = TrainConfig(batch_size=batch_size)
    vae = build_preset(ModelConfig())
    optimizer = make_optimizer(vae, None, config, 1)
    step = make_step(vae, None, optimizer, config, "threshold", tf.distribute.get_strategy())

    def turn() -> None:
        for i in range(0, len(images), batch_size):
            step(images[i : i + batch_size], i)

    return turn


def plain_step(batch_size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    vae = build_preset(ModelConfig())
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(vae.variables)

    @tf.function(jit_compile=False)
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = negative_elbo(vae, x)
        optimizer.apply(tape.gradient(loss, vae.variables), vae.variables)
        return loss

    return step


def negative_elbo(vae: VAE, x: tf.Tensor) -> tf.Tensor:
    posterior = vae.encoder(x)
    eps = tf.random.normal(tf.shape(posterior["mean"]))
    z = elbo.reparameterize(posterior["mean"], posterior["logvar"], eps)
    log_px = log_bernoulli(x, vae.decoder(z)["x_logits"], None)
    return tf.reduce_mean(elbo.kl_sample(z, posterior["logvar"], eps) - log_px)


def tf_function(images: np.ndarray, batch_size: int) -> Turn:
    step = plain_step(batch_size)
    x = images.astype(np.float32) / 255

    def turn() -> None:
        for i in range(0, len(x), batch_size):
            loss = step(tf.constant(x[i : i + batch_size]))
        loss.numpy()

    return turn


def keras_fit(images: np.ndarray, batch_size: int, jit_compile: str | bool) -> Turn:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.vae = build_preset(ModelConfig())
            self.encoder, self.decoder = self.vae.encoder, self.vae.decoder

        def train_step(self, data: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                loss = negative_elbo(self.vae, data)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

    model = Model()
    model.compile(optimizer=keras.optimizers.Adam(1e-4), jit_compile=jit_compile)
    x = images.astype(np.float32) / 255
    return lambda: model.fit(x, batch_size=batch_size, epochs=1, verbose=0)


def matrix_product(images: np.ndarray, batch_size: int) -> Turn:
    """Three float32 products of two 2048 x 2048 matrices."""
    a = tf.random.normal([2048, 2048])
    product = tf.function(lambda: tf.matmul(a, a), jit_compile=False)

    def turn() -> None:
        for _ in range(3):
            result = product()
        result.numpy()

    return turn


LOOPS: dict[str, Callable[[np.ndarray, int], Turn]] = {
    "cvae_edge": ours,
    "Keras fit, default": lambda images, size: keras_fit(images, size, "auto"),
    "Keras fit, jit_compile=False": lambda images, size: keras_fit(images, size, False),
    "tf.function": tf_function,
    "matrix product": matrix_product,
}


def main() -> None:
    name, batch_size, images = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    serve(lambda: timed(LOOPS[name](read_mnist()[0].images[:images], batch_size)))


if __name__ == "__main__":
    main()
