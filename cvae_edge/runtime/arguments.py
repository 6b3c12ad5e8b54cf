"""What a caller hands to a model: checked, and made into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.errors import ConfigError, DataError
from cvae_edge.fitting import Fitted, warn_of_masks, whiten_mask
from cvae_edge.images import check_images


def as_images(x: Any, image_shape: tuple[int, int, int]) -> NDArray[Any]:
    """Return images as ``(n, *image_shape)``, uint8 or float32 in [0, 1].

    Args:
        x: (n, h, w, c), (n, h, w) where c is 1, or one image without the n; or ``Fitted``.
        image_shape: h, w, c.

    Warns:
        DataWarning: they hold only 0 and 1 of a type's range, and were taken for masks.

    Raises:
        DataError: they have another shape, type or range, or there are none.
    """
    images = x.images if isinstance(x, Fitted) else as_batch(x, image_shape)
    if images.shape[1:] != image_shape:
        raise DataError(
            f"the model takes images of (height, width, channels) {image_shape}, "
            f"got {images.shape[1:]}"
        )
    mask = None if isinstance(x, Fitted) else whiten_mask(images)
    if mask is None:
        return images
    warn_of_masks("the images")
    return mask


def as_batch(x: Any, image_shape: tuple[int, int, int]) -> NDArray[Any]:
    """Return images of any size as (n, h, w, c), uint8 or float32 in [0, 1].

    Args:
        x: (n, h, w, c), (n, h, w) in grey, or one image: (h, w), or (h, w, c) with up to 4
            channels. What has the shape of both, (n, h, w) and (h, w, c), is what the model takes
            or, if it takes neither, one image.
        image_shape: what the model takes.

    Raises:
        DataError: they have another shape, type or range, or there are none.
    """
    x = _array(x, "images")
    if x.ndim == 2:
        x = x[..., np.newaxis]
    return check_images(x[np.newaxis] if is_one(x.shape, image_shape) else x)


def is_one(shape: tuple[int, ...], image_shape: tuple[int, int, int]) -> bool:
    """Whether an array of this shape is one image (h, w, c); see ``as_batch``."""
    greys = len(shape) == 3 and shape[1:] == image_shape[:2] and shape != image_shape
    return len(shape) == 3 and shape[2] <= 4 and not greys


def as_latents(z: Any, latent_dim: int) -> Array:
    """Return latents as float32 (n, latent_dim).

    Raises:
        DataError: they have another shape or type, there are none, or they are not finite.
    """
    z = _array(z, "z")
    rule = f"z must be finite floating point of shape (n, {latent_dim}), n at least 1"
    if z.ndim != 2 or len(z) == 0 or z.shape[1] != latent_dim:
        raise DataError(f"{rule}, got the shape {z.shape}")
    if not np.issubdtype(z.dtype, np.floating):
        raise DataError(f"{rule}, got {z.dtype}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is named
        latents: Array = np.ascontiguousarray(z, np.float32)
    if not np.isfinite(latents).all():
        raise DataError(f"{rule}, got NaN or infinity")
    return latents


def _array(x: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(x)
    except (ValueError, TypeError) as error:  # rows of different lengths, say
        raise DataError(f"{what} must be an array, or lists that make one: {error}") from error


def integers(**values: Any) -> tuple[int, ...]:
    """Return the values as int.

    Raises:
        ConfigError: one is no whole number; its name is in the message.
    """
    for name, value in values.items():
        if type(value) is not int and not isinstance(value, np.integer):  # bool is an int as well
            raise ConfigError(f"{name} must be a whole number, got {value!r}")
    return tuple(map(int, values.values()))
