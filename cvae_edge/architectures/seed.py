"""FastEstimator's CVAE on MNIST (preset ``seed``)."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from cvae_edge.architectures.vae import VAE, initializers
from cvae_edge.config import require

LATENT_DIM = 50
_ENCODER = (32, 64)  # 3x3 convolutions, stride 2
_BASE = 32  # channels of the dense layer's h/4 x w/4 grid
_DECODER = (64, 32)  # 3x3 transposed convolutions, stride 2


def build(image_shape: tuple[int, int, int], latent_dim: int, width: float, seed: int) -> VAE:
    """Build both networks, with weights from ``seed`` (Glorot uniform, biases 0).

    Raises:
        ConfigError: height or width is no multiple of 4.
    """
    require(
        all(side >= 8 and side % 4 == 0 for side in image_shape[:2]),
        "preset seed takes images whose height and width are multiples of 4 and at least 8 "
        "(--preset general takes all sizes)",
        "x".join(map(str, image_shape[:2])),
    )

    def channels(n: int) -> int:
        return max(1, round(n * width))

    encoder = _encoder(image_shape, latent_dim, [channels(n) for n in _ENCODER], seed)
    filters = [channels(n) for n in _DECODER]
    return VAE(encoder, _decoder(image_shape, latent_dim, channels(_BASE), filters, seed))


def _encoder(
    image_shape: tuple[int, int, int], latent_dim: int, filters: list[int], seed: int
) -> keras.Model:
    glorot = initializers(seed, 0)
    with keras.name_scope("encoder"):
        x = keras.Input(image_shape, name="x")
        h = x
        for i, n in enumerate(filters, 1):
            h = layers.Conv2D(
                n, 3, 2, "valid", activation="relu", name=f"conv_{i}",
                kernel_initializer=next(glorot),
            )(h)  # 28 -> 13 -> 6  # fmt: skip
        h = layers.Flatten(name="flatten")(h)
        h = layers.Dense(2 * latent_dim, name="posterior", kernel_initializer=next(glorot))(h)
    mean, logvar = h[:, :latent_dim], h[:, latent_dim:]
    return keras.Model(x, {"mean": mean, "logvar": logvar}, name="encoder")


def _decoder(
    image_shape: tuple[int, int, int], latent_dim: int, base: int, filters: list[int], seed: int
) -> keras.Model:
    glorot = initializers(seed, 1)
    grid = image_shape[0] // 4, image_shape[1] // 4, base
    with keras.name_scope("decoder"):
        z = keras.Input((latent_dim,), name="z")
        h = layers.Dense(
            int(np.prod(grid)), activation="relu", name="grid", kernel_initializer=next(glorot)
        )(z)
        h = layers.Reshape(grid, name="reshape")(h)  # (n, h/4, w/4, base)
        for i, n in enumerate(filters, 1):
            h = layers.Conv2DTranspose(
                n, 3, 2, "same", activation="relu", name=f"conv_{i}",
                kernel_initializer=next(glorot),
            )(h)  # 7 -> 14 -> 28  # fmt: skip
        x_logits = layers.Conv2DTranspose(
            image_shape[2], 3, 1, "same", name="x_logits", kernel_initializer=next(glorot)
        )(h)
    return keras.Model(z, {"x_logits": x_logits}, name="decoder")
