"""Means over neighbourhoods."""

from __future__ import annotations

import numpy as np

from cvae_edge.codec import Array


def blur(images: Array, reach: int) -> Array:
    """Take the mean over 2 * reach + 1 pixels a side, twice, with edges repeated: (n, h, w)."""
    for axis in (1, 2):
        for _ in range(2):
            images = _box(images, reach, axis)
    return images


def _box(images: Array, reach: int, axis: int) -> Array:
    around = [(0, 0), (0, 0), (0, 0)]
    around[axis] = (reach, reach)
    padded = np.pad(images, around, mode="edge")
    n = images.shape[axis]

    def shifted(by: int) -> Array:
        return padded[:, by : by + n] if axis == 1 else padded[:, :, by : by + n]

    total = shifted(0).copy()
    for by in range(1, 2 * reach + 1):
        total += shifted(by)
    total *= np.float32(1 / (2 * reach + 1))
    return total
