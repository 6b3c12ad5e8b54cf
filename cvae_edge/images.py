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

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.preprocess import WHITE, Pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")  # by content; EPS would start a program
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by channels


def check_images(images: Any, what: str = "images") -> NDArray[Any]:
    """Return ``images`` as (n, h, w, c), uint8 or float32, or raise DataError naming the rule.

    Takes (n, h, w) or (n, h, w, c) in uint8 (0 to 255), uint16 (0 to 65535), bool, or floating
    point in [0, 1]. Values are scaled by their type's range. Where uint8 values are 0 and 1 alone,
    a mask is meant: they become 0 and 255.

    Warns:
        DataWarning: of such a mask.
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
        return scale_mask(x, what)
    if x.dtype == np.uint16:
        return x.astype(np.float32) / np.float32(65535)
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{what} must be uint8, uint16 or floating point in [0, 1], got {x.dtype}")
    low, high = float(x.min()), float(x.max())  # NaN if any pixel is NaN
    if not (low >= 0.0 and high <= 1.0):
        got = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
        raise DataError(f"{what} in floating point must lie in [0, 1], got {got}")
    return x.astype(np.float32, copy=False)


def scale_mask(x: NDArray[np.uint8], what: str = "images") -> NDArray[np.uint8]:
    """Return uint8 images; those of 0 and 1 alone, all of which would be black, times 255.

    Warns:
        DataWarning: it did so.
    """
    if x.max() != 1:
        return x
    warnings.warn(
        f"{what} in uint8 hold only 0 and 1, which is taken for black and white", DataWarning,
        stacklevel=3,
    )  # fmt: skip
    return x * np.uint8(255)


def to_pixels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale float images in [0, 1] to uint8; uint8 images pass as they are."""
    if images.dtype == np.uint8:
        return images
    return np.rint(images * np.float32(255)).astype(np.uint8)


def read_image(
    source: Path | IO[bytes],
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str = "stretch",
    background: str = WHITE,
) -> NDArray[np.uint8]:
    """Read one image as uint8 (height, width, channels), the way that ``Pixels`` describes.

    Args:
        source: a file of one of ``SUFFIXES``' formats, by its path or open.
        size: height and width to reach; None keeps the image's own.
        channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; None keeps grey images
            grey and makes others colour.
        fit: how the size is reached: stretch; crop, the largest middle part of its shape; or pad
            with ``background``.
        background: what lies under transparent pixels where no alpha is kept.

    Warns:
        DataWarning: an animation, of which the first frame is taken; or a transparent image that
            cannot be seen on the background.

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
            opened = Image.open(content, formats=_FORMATS)
            frames, is_clear = getattr(opened, "n_frames", 1), _shows_background(opened)
            pixels = convert_image(opened, size, channels, fit, background)
    except Exception as error:  # Pillow's readers of some thirty formats raise whatever comes up
        name = f"{source} is " if isinstance(source, Path) else ""
        raise DataError(f"{name}not a readable image: {error}") from error
    name = str(source) if isinstance(source, Path) else "an image"
    if frames > 1:
        warnings.warn(f"{name} has {frames} frames: the first is taken", DataWarning, stacklevel=2)
    if is_clear and pixels.min() == pixels.max():
        why = f"{name} is all of one colour on the background {background}: give another"
        warnings.warn(why, DataWarning, stacklevel=2)
    return pixels


def _shows_background(image: Any) -> bool:
    """Whether a Pillow image is transparent in some places and not in others."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return False
    low, high = image.convert("RGBA").getchannel("A").getextrema()
    return bool(low < high)


def convert_image(
    image: Any, size: tuple[int, int] | None, channels: int | None, fit: str, background: str
) -> NDArray[np.uint8]:
    """Return a Pillow image as uint8 (height, width, channels); see ``read_image``."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if channels is None:
        channels = 1 if image.mode in _GREY_MODES else 3
    image = _eight_bits(image)
    if "transparency" in image.info or image.mode in ("PA", "La", "RGBa"):
        image = image.convert("RGBA")
    if image.mode in ("LA", "RGBA") and channels in (1, 3):
        under = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(under, image.convert("RGBA"))
    # Pillow goes from RGBA to LA, but not from all modes to either.
    image = image.convert("RGBA" if channels in (2, 4) else "RGB").convert(_MODES[channels])
    if size is not None:
        image = _fit(image, (size[1], size[0]), fit, background)
    pixels = np.array(image, np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


def _eight_bits(image: Any) -> Any:
    """Scale 16-bit and floating-point grey values by their type's range; never clip."""
    from PIL import Image

    if image.mode in ("I", "I;16", "I;16B", "I;16L"):  # 16-bit PNG open as I in older Pillows
        return Image.fromarray((np.asarray(image).astype(np.float64) / 257 + 0.5).astype(np.uint8))
    if image.mode != "F":
        return image
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"floating-point pixels must lie in [0, 1], got {low:g} to {high:g}")
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def _fit(image: Any, size: tuple[int, int], fit: str, background: str) -> Any:
    from PIL import Image, ImageColor, ImageOps

    how = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(image, size, how)
    if fit == "pad":
        red, green, blue = ImageColor.getrgb(background)[:3]
        grey = ImageColor.getcolor(background, "L")
        colours: dict[str, Any] = {"L": grey, "LA": (grey, 0), "RGB": (red, green, blue)}
        return ImageOps.pad(image, size, how, colours.get(image.mode, (red, green, blue, 0)))
    return image.resize(size, how)


def convert_array(images: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """Return images (n, h, w, c) as ``pixels`` describes them: (n, *pixels.image_shape)."""
    if images.shape[1:] == pixels.image_shape:
        return images
    from PIL import Image

    size, channels = pixels.image_shape[:2], pixels.image_shape[2]

    def convert(image: NDArray[Any]) -> NDArray[np.uint8]:
        values = to_pixels(image)
        opened = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
        return convert_image(opened, size, channels, pixels.fit, pixels.background)

    return np.stack([convert(image) for image in images])


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


def write_image(path: Path, pixels: NDArray[np.uint8], scale: int = 1) -> None:
    """Write uint8 pixels (height, width, channels); each becomes ``scale`` x ``scale``.

    Raises:
        DataError: the file cannot be written, or its ending names no image format.
    """
    from PIL import Image

    pixels = over_white(pixels).repeat(scale, axis=0).repeat(scale, axis=1)
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
