"""Large images as overlapping windows of the size that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.errors import DataError

Shape = tuple[int, int, int]


def window_starts(side: int, window: int) -> list[int]:
    """Return where the windows of a side begin: spread evenly, half of each in the next or more."""
    if side == window:
        return [0]
    steps = -(-(side - window) // max(1, window // 2))
    return [round(i * (side - window) / steps) for i in range(steps + 1)]


def window_places(image_shape: Shape, window: Shape) -> list[tuple[int, int]]:
    """Return the upper left corners of an image's windows, row by row.

    Raises:
        DataError: the image is smaller than a window, or has other channels.
    """
    if image_shape[2] != window[2] or any(np.less(image_shape[:2], window[:2])):
        raise DataError(
            f"images must have (height, width, channels) {window}, or be larger, got {image_shape}"
        )
    rows, columns = (window_starts(image_shape[i], window[i]) for i in (0, 1))
    return [(row, column) for row in rows for column in columns]


def cut(images: NDArray[Any], window: Shape) -> NDArray[Any]:
    """Cut images (n, h, w, c) into windows, image by image: ``(n * windows, *window)``."""
    if images.shape[1:] == window:
        return images
    height, width, _ = window
    places = window_places(images.shape[1:], window)
    parts = [images[:, y : y + height, x : x + width] for y, x in places]
    return np.stack(parts, axis=1).reshape(-1, *window)


def join(maps: Array, image_shape: Shape, window: Shape) -> Array:
    """Return the mean of windows' maps (n * windows, h, w), image by image: (n, height, width)."""
    if image_shape == window:
        return maps
    height, width, _ = window
    places = window_places(image_shape, window)
    maps = maps.reshape(-1, len(places), height, width)
    total = np.zeros((len(maps), *image_shape[:2]), np.float32)
    covered = np.zeros(image_shape[:2], np.float32)
    for i, (y, x) in enumerate(places):
        total[:, y : y + height, x : x + width] += maps[:, i]
        covered[y : y + height, x : x + width] += 1
    total /= covered
    return total


def enlarge(maps: Array, size: Sequence[int]) -> Array:
    """Return maps (n, rows, columns) at ``size`` pixels, linear between the cells' middles."""
    if maps.shape[1:] == tuple(size):
        return maps
    rows, columns = _weights(maps.shape[1], size[0]), _weights(maps.shape[2], size[1])
    enlarged: Array = (rows @ maps @ columns.T).astype(np.float32, copy=False)
    return enlarged


def _weights(cells: int, side: int) -> Array:
    """Return what each of ``cells`` overlapping cells adds to each pixel: (side, cells)."""
    middles = (np.arange(cells) + 1) * side / (cells + 1)
    pixels = np.arange(side) + 0.5
    each = [np.interp(pixels, middles, one) for one in np.eye(cells)]
    weights: Array = np.stack(each, axis=1).astype(np.float32)
    return weights
