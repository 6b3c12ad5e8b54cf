"""The networks of FastEstimator's MNIST example, which the package began with.

Source: fastestimator/fastestimator, apphub/image_generation/cvae (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers

from cvae_edge.architectures.initializers import layer_seeds
from cvae_edge.architectures.vae import VAE

_ENCODER_FILTERS = (32, 64)  # 3x3 convolutions, stride 2
_GRID_CHANNELS = 32  # of the decoder's dense layer, h/4 x w/4
_DECODER_FILTERS = (64, 32)  # 3x3 transposed convolutions, stride 2


def build(
    image_shape: tuple[int, int, int], latent_dim: int, width: float = 1.0, seed: int = 0
) -> VAE:
    """Build both networks; ``make_preset`` checks the sizes."""
    return VAE(
        _encoder(image_shape, latent_dim, width, seed),
        _decoder(image_shape, latent_dim, width, seed),
    )


def _encoder(
    image_shape: tuple[int, int, int], latent_dim: int, width: float, seed: int
) -> keras.Model:
    """x (n, h, w, c) -> {"mean", "logvar"}, each (n, latent_dim)."""
    glorot = _glorot(seed, 0)
    with keras.name_scope("encoder"):
        x = keras.Input(image_shape, name="x")
        h = x
        for i, filters in enumerate(_ENCODER_FILTERS, 1):
            h = layers.Conv2D(
                _scaled(filters, width),
                3,
                2,
                "valid",
                activation="relu",
                name=f"conv_{i}",
                kernel_initializer=next(glorot),
            )(h)  # 28 -> 13 -> 6
        h = layers.Flatten(name="flatten")(h)
        h = layers.Dense(2 * latent_dim, name="posterior", kernel_initializer=next(glorot))(h)
    mean, logvar = h[:, :latent_dim], h[:, latent_dim:]
    return keras.Model(x, {"mean": mean, "logvar": logvar}, name="encoder")


def _decoder(
    image_shape: tuple[int, int, int], latent_dim: int, width: float, seed: int
) -> keras.Model:
    """z (n, latent_dim) -> {"x_logits"}, (n, h, w, c)."""
    glorot = _glorot(seed, 1)
    grid_shape = image_shape[0] // 4, image_shape[1] // 4, _scaled(_GRID_CHANNELS, width)
    with keras.name_scope("decoder"):
        z = keras.Input((latent_dim,), name="z")
        units = int(np.prod(grid_shape))
        h = layers.Dense(units, activation="relu", name="grid", kernel_initializer=next(glorot))(z)
        h = layers.Reshape(grid_shape, name="reshape")(h)  # (n, h/4, w/4, channels)
        for i, filters in enumerate(_DECODER_FILTERS, 1):
            h = layers.Conv2DTranspose(
                _scaled(filters, width),
                3,
                2,
                "same",
                activation="relu",
                name=f"conv_{i}",
                kernel_initializer=next(glorot),
            )(h)  # 7 -> 14 -> 28
        x_logits = layers.Conv2DTranspose(
            image_shape[2], 3, 1, "same", name="x_logits", kernel_initializer=next(glorot)
        )(h)
    return keras.Model(z, {"x_logits": x_logits}, name="decoder")


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _glorot(seed: int, network: int) -> Iterator[keras.Initializer]:
    """Yield Keras' default initializer, each with a seed of its own."""
    for layer_seed in layer_seeds(seed, network):
        yield keras.initializers.GlorotUniform(seed=layer_seed)
