"""The two networks, in Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cvae_edge.config import ModelConfig
from cvae_edge.errors import RunError

Weights = dict[str, NDArray[np.float32]]


class VAE:
    """The encoder x -> (mean, logvar) and the decoder z -> x_logits, neither with randomness in it.

    Args:
        config: the sizes.
        seed: of the initial weights (Glorot uniform, biases 0).
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        self.config = config
        self.encoder = build_encoder(config, seed)
        self.decoder = build_decoder(config, seed)

    @property
    def variables(self) -> list[Any]:
        """Every trainable variable, the encoder's first."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def weights(self) -> Weights:
        """Return a copy of every weight by its path, such as ``encoder/conv_1/kernel``."""
        return {v.path: np.array(v.numpy()) for v in self.variables}

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set every weight.

        Raises:
            RunError: names or shapes are those of another model.
        """
        expected = {v.path: tuple(v.shape) for v in self.variables}
        got = {name: value.shape for name, value in weights.items()}
        if got != expected:
            wrong = sorted(n for n in expected | got if expected.get(n) != got.get(n))
            raise RunError(f"weights are those of another model: {', '.join(wrong)} differ")
        for variable in self.variables:
            variable.assign(weights[variable.path])


def build_encoder(config: ModelConfig, seed: int = 0) -> keras.Model:
    """x (n, h, w, c) -> {"mean", "logvar"}, each (n, latent_dim)."""
    glorot = _initializers(seed, 0)
    with keras.name_scope("encoder"):
        x = keras.Input(config.image_shape, name="x")
        h = x
        for i, filters in enumerate(config.encoder_filters, 1):
            h = layers.Conv2D(
                filters,
                3,
                2,
                "valid",
                activation="relu",
                name=f"conv_{i}",
                kernel_initializer=next(glorot),
            )(h)  # 28 -> 13 -> 6
        h = layers.Flatten(name="flatten")(h)
        h = layers.Dense(2 * config.latent_dim, name="posterior", kernel_initializer=next(glorot))(
            h
        )
    mean, logvar = h[:, : config.latent_dim], h[:, config.latent_dim :]
    return keras.Model(x, {"mean": mean, "logvar": logvar}, name="encoder")


def build_decoder(config: ModelConfig, seed: int = 0) -> keras.Model:
    """z (n, latent_dim) -> x_logits (n, h, w, c)."""
    glorot = _initializers(seed, 1)
    with keras.name_scope("decoder"):
        z = keras.Input((config.latent_dim,), name="z")
        units = int(np.prod(config.grid_shape))
        h = layers.Dense(units, activation="relu", name="grid", kernel_initializer=next(glorot))(z)
        h = layers.Reshape(config.grid_shape, name="reshape")(h)  # (n, h/4, w/4, base)
        for i, filters in enumerate(config.decoder_filters, 1):
            h = layers.Conv2DTranspose(
                filters,
                3,
                2,
                "same",
                activation="relu",
                name=f"conv_{i}",
                kernel_initializer=next(glorot),
            )(h)  # 7 -> 14 -> 28
        x_logits = layers.Conv2DTranspose(
            config.image_shape[2], 3, 1, "same", name="x_logits", kernel_initializer=next(glorot)
        )(h)
    return keras.Model(z, x_logits, name="decoder")


def _initializers(seed: int, network: int) -> Any:
    """Yield Keras' default initializer, each with a seed of its own."""
    state = np.random.Philox(key=seed | network << 64)
    while True:
        yield keras.initializers.GlorotUniform(seed=int(state.random_raw() >> np.uint64(33)))
