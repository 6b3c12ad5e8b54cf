"""Images in and out: checks, reading, grids. Arrays are (n, height, width, channels)."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
THRESHOLD = 0.5  # binarized pixels are 1 from here on


def check_images(images: Any, what: str = "images") -> NDArray[Any]:
    """Return ``images`` as (n, h, w, c), uint8 or float32, or raise DataError naming the rule.

    Takes (n, h, w) or (n, h, w, c) in uint8 (0 to 255), bool, or floating point in [0, 1].
    """
    x = np.asarray(images)
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or 0 in x.shape:
        raise DataError(
            f"{what} must have the shape (n, height, width) or (n, height, width, channels) "
            f"with nothing of size 0, got {np.shape(images)}"
        )
    if x.dtype == np.uint8:
        return x
    if x.dtype == np.bool_:
        return x.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{what} must be uint8 or floating point in [0, 1], got {x.dtype}")
    low, high = float(x.min()), float(x.max())  # NaN if any pixel is NaN
    if not (low >= 0.0 and high <= 1.0):
        got = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
        raise DataError(f"{what} in floating point must lie in [0, 1], got {got}")
    return x.astype(np.float32, copy=False)


def to_float(images: NDArray[Any]) -> NDArray[np.float32]:
    """Scale uint8 images to float32 in [0, 1]; float32 images pass as they are."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images


def binarize(images: NDArray[Any]) -> NDArray[np.float32]:
    """Threshold at 0.5: float32 images of 0 and 1."""
    return (to_float(images) >= THRESHOLD).astype(np.float32)


def to_pixels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale float images in [0, 1] to uint8; uint8 images pass as they are."""
    if images.dtype == np.uint8:
        return images
    return np.rint(images * np.float32(255)).astype(np.uint8)


def read_image(
    source: Path | IO[bytes], size: tuple[int, int] | None = None, channels: int | None = None
) -> NDArray[np.uint8]:
    """Read one image as uint8 (height, width, channels).

    Args:
        source: a file that Pillow can read, by its path or open.
        size: height and width to resize to; None keeps the image's own.
        channels: 1 for grey, 3 for colour; None keeps grey images grey and makes others colour.

    Raises:
        DataError: the file is no readable image.
    """
    from PIL import Image  # 30 ms that a device without image files spares

    try:
        # Opened here, for Pillow leaves a file open that it fails on.
        file = source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source)
        with file as content, warnings.catch_warnings():
            # A few bytes can ask for gigabytes: Pillow warns from 89 million pixels on.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(content)
            if channels is None:
                channels = 1 if opened.mode in ("1", "L", "LA", "I", "I;16", "F") else 3
            image = opened.convert("L" if channels == 1 else "RGB")
            if size is not None:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.array(image, np.uint8)
    except Exception as error:  # Pillow's readers of some thirty formats raise whatever comes up
        name = f"{source} is " if isinstance(source, Path) else ""
        raise DataError(f"{name}not a readable image: {error}") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def image_grid(images: NDArray[Any], columns: int | None = None, gap: int = 2) -> NDArray[np.uint8]:
    """Lay images out in rows: uint8 (height, width, channels), white between them.

    Args:
        images: (n, h, w, c) in uint8 or floating point in [0, 1].
        columns: images in a row; None makes the grid as square as it can be.
        gap: pixels between images.
    """
    x = to_pixels(check_images(images))
    n, h, w, c = x.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    grid = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), 255, np.uint8)
    for i, image in enumerate(x):
        top, left = (i // columns) * (h + gap) + gap, (i % columns) * (w + gap) + gap
        grid[top : top + h, left : left + w] = image
    return grid


def write_image(path: Path, pixels: NDArray[np.uint8], scale: int = 1) -> None:
    """Write uint8 pixels (height, width, channels); each becomes ``scale`` x ``scale``.

    Raises:
        DataError: the file cannot be written, or its ending names no image format.
    """
    from PIL import Image

    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    content = io.BytesIO()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        image.save(content, Image.registered_extensions().get(path.suffix.lower(), path.suffix))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.getbuffer())
        partial.replace(path)  # so that a full disk never costs the picture that was there
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
