"""Images in arrays: checks, grids, pictures. Arrays are (n, height, width, channels)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.writing import new_file

_ALPHA_FILES = (".png", ".webp", ".tif", ".tiff")  # the other formats know no alpha


def check_images(images: Any, what: str = "images") -> NDArray[Any]:
    """Return ``images`` as (n, h, w, c), uint8 or float32, or raise DataError naming the rule.

    Takes (n, h, w) or (n, h, w, c) in uint8 (0 to 255), uint16 (0 to 65535), bool, or floating
    point in [0, 1]. Values are scaled by their type's range.
    """
    x = np.asarray(images)
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or 0 in x.shape or x.shape[3] > 4:
        raise DataError(
            f"{what} must have the shape (n, height, width) or (n, height, width, channels) with "
            f"1 to 4 channels and nothing of size 0, got {np.shape(images)}"
        )
    if x.dtype == np.bool_:
        return x.astype(np.uint8) * np.uint8(255)
    if x.dtype == np.uint8:
        return x
    if x.dtype == np.uint16:
        return x.astype(np.float32) / np.float32(65535)
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{what} must be uint8, uint16 or floating point in [0, 1], got {x.dtype}")
    low, high = float(x.min()), float(x.max())  # NaN if any pixel is NaN
    if not (low >= 0.0 and high <= 1.0):
        got = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
        raise DataError(f"{what} in floating point must lie in [0, 1], got {got}")
    return x.astype(np.float32, copy=False)


def to_pixels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale float images in [0, 1] to uint8; uint8 images pass as they are."""
    if images.dtype == np.uint8:
        return images
    return np.rint(images * np.float32(255)).astype(np.uint8)


def over_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (..., c) on white; the last of 2 or 4 channels is alpha."""
    if pixels.shape[-1] in (1, 3):
        return pixels
    alpha = pixels[..., -1:].astype(np.float32) / 255
    return np.rint(pixels[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def image_grid(images: NDArray[Any], columns: int | None = None, gap: int = 2) -> NDArray[np.uint8]:
    """Lay images out in rows: uint8 (height, width, channels), white between them.

    Args:
        images: (n, h, w, c) in uint8 or floating point in [0, 1].
        columns: images in a row; None makes the grid as square as it can be.
        gap: pixels between images.
    """
    x = over_white(to_pixels(images))
    n, h, w, c = x.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    grid = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), 255, np.uint8)
    for i, image in enumerate(x):
        top, left = (i // columns) * (h + gap) + gap, (i % columns) * (w + gap) + gap
        grid[top : top + h, left : left + w] = image
    return grid


def write_image(
    path: Path, pixels: NDArray[np.uint8], scale: int = 1, durable: bool = True
) -> None:
    """Write uint8 pixels (height, width, channels); each becomes ``scale`` x ``scale``.

    A format without alpha gets the image on white. See ``new_file`` for ``durable``.

    Raises:
        DataError: the file cannot be written, or its ending names no image format.
    """
    from PIL import Image

    if path.suffix.lower() not in _ALPHA_FILES:
        pixels = over_white(pixels)
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    content = io.BytesIO()
    try:
        image.save(content, Image.registered_extensions().get(path.suffix.lower(), path.suffix))
        with new_file(path, durable) as file:
            file.write(content.getbuffer())
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be written: {error}") from error
