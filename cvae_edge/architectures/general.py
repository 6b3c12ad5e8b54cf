"""One architecture for images of any size from 8x8 to 512x512.

Strided convolutions halve the image until its shorter side is 4 to 7 pixels, while their channels
double; strided transposed convolutions take it back up. A side that is odd is rounded up where it
is halved, and the decoder's last layer crops what that adds.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from cvae_edge.architectures.initializers import layer_seeds
from cvae_edge.architectures.vae import VAE

KERNEL = 3  # of the strided convolutions, both ways
STRIDED_LAST = False  # whether the last strided layer gives the image; else a 3x3 layer follows
_FIRST_CHANNELS = 32  # after the first halving; they double with each further one
_MOST_CHANNELS = 256
_SMALLEST_SIDE = 4  # the shorter side is halved to 4..7


def build(
    image_shape: tuple[int, int, int], latent_dim: int, width: float = 1.0, seed: int = 0
) -> VAE:
    """Build both networks; ``make_preset`` checks the sizes."""
    return VAE(
        _encoder(image_shape, latent_dim, width, seed),
        _decoder(image_shape, latent_dim, width, seed),
    )


def halvings(image_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Return height and width of the image and after each halving."""
    sizes = [image_shape[:2]]
    while min(sizes[-1]) >= 2 * _SMALLEST_SIDE:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def channels_by_depth(depth: int, width: float) -> list[int]:
    """Return the channels after each halving, the first one's first."""
    return [
        max(1, round(min(_FIRST_CHANNELS << i, _MOST_CHANNELS) * width)) for i in range(depth)
    ]


def _encoder(
    image_shape: tuple[int, int, int], latent_dim: int, width: float, seed: int
) -> keras.Model:
    """x (n, h, w, c) -> {"mean", "logvar"}, each (n, latent_dim)."""
    seeds = layer_seeds(seed, 0)
    x = keras.Input(image_shape, name="x")
    h = x
    for i, filters in enumerate(channels_by_depth(len(halvings(image_shape)) - 1, width), 1):
        h = layers.Conv2D(
            filters,
            KERNEL,
            2,
            "same",
            activation="relu",
            name=f"down_{i}",
            kernel_initializer=_he(next(seeds)),
        )(h)  # (n, ceil(h / 2^i), ceil(w / 2^i), filters)
    h = layers.Flatten(name="flatten")(h)
    outputs = {
        name: layers.Dense(latent_dim, name=name, kernel_initializer=_glorot(next(seeds)))(h)
        for name in ("mean", "logvar")
    }
    return keras.Model(x, outputs, name="encoder")


def _decoder(
    image_shape: tuple[int, int, int], latent_dim: int, width: float, seed: int
) -> keras.Model:
    """z (n, latent_dim) -> {"x_logits"}, (n, h, w, c)."""
    seeds = layer_seeds(seed, 1)
    sizes = halvings(image_shape)
    grid_height, grid_width = sizes[-1]
    deepest, *outputs = _decoder_channels(len(sizes) - 1, width, image_shape[2])
    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(
        grid_height * grid_width * deepest,
        activation="relu",
        name="grid",
        kernel_initializer=_he(next(seeds)),
    )(z)
    h = layers.Reshape((grid_height, grid_width, deepest), name="reshape")(h)
    for i, (filters, activation) in enumerate(outputs, 1):
        h = layers.Conv2DTranspose(
            filters,
            KERNEL,
            2,
            "same",
            activation=activation,
            name=f"up_{i}",
            kernel_initializer=_he(next(seeds), stride=2) if activation else _glorot(next(seeds)),
        )(h)  # (n, grid height * 2^i, grid width * 2^i, filters)
    if not STRIDED_LAST:
        last = layers.Conv2DTranspose(
            image_shape[2], 3, 1, "same", name="image", kernel_initializer=_glorot(next(seeds))
        )
        h = last(h)
    crop = tuple((0, h.shape[axis] - image_shape[axis - 1]) for axis in (1, 2))
    if crop != ((0, 0), (0, 0)):
        h = layers.Cropping2D(crop, name="crop")(h)
    return keras.Model(z, {"x_logits": h}, name="decoder")
