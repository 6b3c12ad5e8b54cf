"""Images of any size and channels become what a model takes, as ``Pixels`` describes it.

The readers of training and those of a device all end in ``fit_images``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.preprocess import Pixels, to_float

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)
# The least level of the integers that float32 values may have been scaled from.
_LEAST = [np.float32(1 / (2.0**bits - 1)) for bits in (8, 12, 15, 16, 31, 32)]


@dataclass(frozen=True)
class Fitted:
    """Images that a reader made what a model takes, which takes them as they are."""

    images: NDArray[Any]  # (n, h, w, c), uint8 or float32


def fit_images(
    parts: Iterable[tuple[str, NDArray[Any]]], pixels: Pixels, option: str | None = None
) -> list[NDArray[Any]]:
    """Make the images of one set what ``pixels`` describes.

    Where a whole set has no level but 0 and the least above it, masks are meant: see
    ``whiten_mask``.

    Args:
        parts: names for messages, and images (n, h, w, c) in uint8, or float32 in [0, 1]; of 2 or
            4 channels the last is alpha.
        pixels: what to make of them.
        option: what a user gives to have other sizes fitted; None fits them.

    Returns:
        Each part's images, ``(n, *pixels.image_shape)``, all in one type.

    Warns:
        DataWarning: the set holds masks; or transparent images are blank on the background.

    Raises:
        DataError: a part has another size, and ``option`` is not given.
    """
    fitted: list[NDArray[Any]] = []
    masks: dict[int, NDArray[Any]] = {}  # by place: the same, taken as masks
    names: list[str] = []
    blank: list[str] = []
    bright = False
    for name, images in parts:
        one, is_blank = fit_part(name, images, pixels, option)
        mask = None if bright else whiten_mask(images)
        if mask is not None:
            masks[len(fitted)] = _fit_part(mask, pixels)
        elif _colours(images).any():
            bright = True
        names.append(name)
        fitted.append(one)
        if is_blank:
            blank.append(name)
    if blank:
        warn_of_blanks(listed(blank[0], len(blank)), pixels)
    if masks and not bright:
        warn_of_masks(listed(names[next(iter(masks))], len(masks)))
        fitted = [masks.get(i, images) for i, images in enumerate(fitted)]
    mixed = len({images.dtype for images in fitted}) > 1
    return [to_float(images) for images in fitted] if mixed else fitted


def fit_part(
    name: str, images: NDArray[Any], pixels: Pixels, option: str | None = None
) -> tuple[NDArray[Any], bool]:
    """Make a part of a set what ``pixels`` describes; see ``fit_images``.

    Returns:
        The images, and whether some are transparent and blank on the background.

    Raises:
        DataError: they have another size, and ``option`` is not given.
    """
    if option is not None:
        _check_size(name, images, pixels, option)
    fitted = _fit_part(images, pixels)
    return fitted, _is_blank(images, fitted)


def is_bright(images: NDArray[Any]) -> bool:
    """Whether images are neither masks nor black, so that their set does not consist of masks."""
    return bool(_colours(images).any()) and whiten_mask(images) is None


def whiten_mask(images: NDArray[Any]) -> NDArray[Any] | None:
    """Return a mask in black and white; None if ``images`` are none.

    A mask has two levels, 0 and the least above it: 1 of 255, or 1 of 65535 as float32. Scaled by
    its type's range it would be all black.
    """
    colours = _colours(images)
    top = colours.max()
    least = [1] if images.dtype == np.uint8 else _LEAST
    if top not in least or not ((colours == 0) | (colours == top)).all():
        return None
    white = images.copy()
    _colours(white)[colours > 0] = 255 if images.dtype == np.uint8 else 1
    return white


def warn_of_masks(what: str) -> None:
    """Say that ``what`` was taken for masks."""
    _warn(f"{what} hold only 0 and 1, which is taken for black and white")


def warn_of_blanks(what: str, pixels: Pixels) -> None:
    """Say that nothing is to be seen of ``what``."""
    _warn(f"{what} cannot be seen on the background {pixels.background}: give another")


def fit_image(image: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """Make one image (h, w, c), uint8 or float32, what ``pixels`` describes, in its own type.

    Sizes are reached by a triangle filter as wide as the reduction (Pillow's bilinear), on colours
    multiplied by their alpha; then alpha is composited and colour made grey; then it is padded.
    """
    image = _resample(image, pixels)
    image = _convert(image, pixels.image_shape[2], pixels.background)
    height, width, channels = pixels.image_shape
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    top, left = (height - h) // 2, (width - w) // 2
    ground = _ground(pixels.background, channels)
    padded = np.empty(pixels.image_shape, image.dtype)
    padded[...] = np.rint(ground * 255) if image.dtype == np.uint8 else ground
    padded[top : top + h, left : left + w] = image
    return padded


def _fit_part(images: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    if images.shape[1:] == pixels.image_shape:
        return images
    return np.stack([fit_image(image, pixels) for image in images])


def _check_size(name: str, images: NDArray[Any], pixels: Pixels, option: str) -> None:
    height, width, _ = pixels.image_shape
    h, w = images.shape[1:3]
    if (h, w) != (height, width):
        raise DataError(
            f"images of height {height} and width {width} are needed, got {h} and {w} in {name}: "
            f"give {option} to make them fit"
        )


def _colours(images: NDArray[Any]) -> NDArray[Any]:
    """Return a view of the channels that are no alpha."""
    return images[..., :-1] if images.shape[-1] % 2 == 0 else images


def _is_blank(images: NDArray[Any], fitted: NDArray[Any]) -> bool:
    """Whether an image that is clear in some places only came out in one colour everywhere."""
    if images.shape[-1] % 2 or fitted.shape[-1] % 2 == 0:
        return False
    each = (1, 2, 3)
    alpha = images[..., -1:]
    flat = fitted.min(axis=each) == fitted.max(axis=each)
    return bool((flat & (alpha.min(axis=each) < alpha.max(axis=each))).any())


def _resample(image: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """Bring an image to the size of ``pixels``; where it is to be padded, to what fits into it."""
    h, w = image.shape[:2]
    height, width = size = pixels.image_shape[:2]
    box = (0.0, 0.0, float(w), float(h))  # left, upper, right, lower: what is taken of the image
    if pixels.fit == "crop":
        scale = max(height / h, width / w)
        x, y = max(0.0, (w - width / scale) / 2), max(0.0, (h - height / scale) / 2)
        box = (x, y, w - x, h - y)
    elif pixels.fit == "pad":
        scale = min(height / h, width / w)
        size = max(1, round(h * scale)), max(1, round(w * scale))
    return image if size == (h, w) else _resize(image, size, box)


def _resize(
    image: NDArray[Any], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[Any]:
    from PIL import Image  # 30 ms that a device without other sizes spares

    def resize(values: NDArray[Any]) -> NDArray[Any]:
        # Pillow multiplies 8-bit colours by their alpha itself.
        picture = Image.fromarray(np.ascontiguousarray(values))
        return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR, box))

    channels = image.shape[2]
    if image.dtype == np.uint8:
        return resize(image[..., 0] if channels == 1 else image).reshape(*size, channels)
    image = image.copy()
    if channels % 2 == 0:
        _colours(image)[...] *= image[..., -1:]
    planes = np.stack([resize(image[..., i]) for i in range(channels)], axis=-1)
    if channels % 2 == 0:
        alpha = planes[..., -1:]
        np.divide(_colours(planes), alpha, out=_colours(planes), where=alpha > 0)
    return planes.clip(0, 1)


def _convert(image: NDArray[Any], channels: int, background: str) -> NDArray[Any]:
    """Composite transparent pixels and convert the channels, as far as needed."""
    own = image.shape[2]
    if own == channels:
        return image
    values = to_float(image)
    colour = _colours(values)
    alpha = values[..., -1:] if own % 2 == 0 else np.ones_like(values[..., :1])
    if channels % 2:
        ground = _ground(background, colour.shape[2])
        colour = ground + (colour - ground) * alpha
    if colour.shape[2] == 3 and channels <= 2:
        colour = (colour * _LUMA).sum(axis=2, keepdims=True)
    elif colour.shape[2] == 1 and channels >= 3:
        colour = colour.repeat(3, axis=2)
    values = colour if channels % 2 else np.concatenate([colour, alpha], axis=2)
    values = values.clip(0, 1)
    return np.rint(values * 255).astype(np.uint8) if image.dtype == np.uint8 else values


def _ground(background: str, channels: int) -> NDArray[np.float32]:
    """Return the background in so many channels; where alpha is kept, it is clear."""
    if channels % 2 == 0:
        return np.zeros(channels, np.float32)
    rgb = np.array(list(bytes.fromhex(background[1:])), np.float32) / np.float32(255)
    return rgb if channels == 3 else (rgb * _LUMA).sum(keepdims=True)


def listed(first: str, n: int) -> str:
    """Return words for ``n`` things, by the first one's name."""
    return first if n == 1 else f"{first} and {n - 1} more"


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=3)
