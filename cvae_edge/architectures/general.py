"""A pair for images of any size (preset ``general``)."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from cvae_edge.architectures.vae import VAE, initializers
from cvae_edge.config import require

LATENT_DIM = 64
SMALLEST, LARGEST = 8, 512  # pixels a side
_COARSEST = 7  # pixels of the shorter side at the last grid, at most
_CHANNELS, _MOST = 32, 256  # of the finest grid; doubled at each halving, up to
_KERNEL = 3


def build(image_shape: tuple[int, int, int], latent_dim: int, width: float, seed: int) -> VAE:
    """Build both networks, with weights from ``seed``.

    The encoder halves height and width, rounded up, until the shorter side is 4 to 7 pixels; the
    decoder doubles as often, and its last layer cuts off what is too much.

    Raises:
        ConfigError: a side is out of range.
    """
    require(
        all(SMALLEST <= side <= LARGEST for side in image_shape[:2]),
        f"preset general takes images of {SMALLEST} to {LARGEST} pixels a side",
        "x".join(map(str, image_shape[:2])),
    )
    grids = [image_shape[:2]]
    while min(grids[-1]) > _COARSEST:
        grids.append((-(-grids[-1][0] // 2), -(-grids[-1][1] // 2)))
    halvings = len(grids) - 1
    channels = [max(1, round(width * min(_MOST, _CHANNELS << i))) for i in range(halvings)]
    return VAE(
        _encoder(image_shape, latent_dim, channels, seed),
        _decoder(image_shape, latent_dim, channels, grids[-1], seed),
    )


def _encoder(
    image_shape: tuple[int, int, int], latent_dim: int, channels: list[int], seed: int
) -> keras.Model:
    glorot = initializers(seed, 0)
    with keras.name_scope("encoder"):
        x = keras.Input(image_shape, name="x")
        h = x
        for i, n in enumerate(channels, 1):
            h = layers.Conv2D(
                n, _KERNEL, 2, "same", activation="relu", name=f"down_{i}",
                kernel_initializer=next(glorot),
            )(h)  # fmt: skip
        h = layers.Flatten(name="flatten")(h)
        mean, logvar = (
            layers.Dense(latent_dim, name=name, kernel_initializer=next(glorot))(h)
            for name in ("mean", "logvar")
        )
    return keras.Model(x, {"mean": mean, "logvar": logvar}, name="encoder")


def _decoder(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    channels: list[int],
    grid: tuple[int, int],
    seed: int,
) -> keras.Model:
    glorot = initializers(seed, 1)
    shape = (*grid, channels[-1])
    with keras.name_scope("decoder"):
        z = keras.Input((latent_dim,), name="z")
        h = layers.Dense(
            int(np.prod(shape)), activation="relu", name="grid", kernel_initializer=next(glorot)
        )(z)
        h = layers.Reshape(shape, name="reshape")(h)
        for i, n in enumerate([*channels[-2::-1], channels[0]], 1):
            h = layers.Conv2DTranspose(
                n, _KERNEL, 2, "same", activation="relu", name=f"up_{i}",
                kernel_initializer=next(glorot),
            )(h)  # fmt: skip
        h = layers.Conv2D(
            image_shape[2], 3, padding="same", name="pixels", kernel_initializer=next(glorot)
        )(h)
        spare = [(0, got - wanted) for got, wanted in zip(h.shape[1:3], image_shape, strict=False)]
        x_logits = layers.Cropping2D(spare, name="crop")(h) if any(map(any, spare)) else h
    return keras.Model(z, {"x_logits": x_logits}, name="decoder")
