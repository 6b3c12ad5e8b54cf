"""Residuals over what they are on good images, place by place and at several scales."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.monitor.evidence import Evidence

BLURS = (1, 2, 4)  # pixels' reach of a box that is taken twice
_LEAST = 1e-3  # of the mean spread: no pixel is surer


def blurred_residuals(evidence: Evidence) -> Array:
    """Return residuals, averaged over channels, blurred at each scale: (n, scales, h, w)."""
    residual = evidence.residual.mean(axis=3)
    return np.stack([_blur(residual, reach) for reach in BLURS], axis=1)


def fit_spread(residuals: Array) -> dict[str, Array]:
    """Return ``mean`` and ``spread`` over good images of each pixel and scale: (scales, h, w)."""
    spread = residuals.std(axis=0)
    least = _LEAST * spread.mean(axis=(1, 2), keepdims=True) + np.finfo(np.float32).tiny
    return {"mean": residuals.mean(axis=0), "spread": np.maximum(spread, least)}


def deviation_map(residuals: Array, statistics: Mapping[str, Array]) -> Array:
    """Return the largest deviation over the scales, in standard deviations: (n, h, w)."""
    deviations: Array = np.abs((residuals - statistics["mean"]) / statistics["spread"]).max(axis=1)
    return deviations


def largest_deviation(residuals: Array, statistics: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the largest deviation of each image, (n,)."""
    return deviation_map(residuals, statistics).max(axis=(1, 2)).astype(np.float64)


def _blur(images: Array, reach: int) -> Array:
    """Take the mean over 2 * reach + 1 pixels a side, twice, with edges repeated: (n, h, w)."""
    for axis in (1, 2):
        for _ in range(2):
            images = _box(images, reach, axis)
    return images


def _box(images: Array, reach: int, axis: int) -> Array:
    around = [(0, 0), (0, 0), (0, 0)]
    around[axis] = (reach + 1, reach)
    sums = np.cumsum(np.pad(images, around, mode="edge"), axis=axis, dtype=np.float32)
    width = 2 * reach + 1
    n = images.shape[axis]
    upper = np.take(sums, range(width, width + n), axis=axis)
    lower = np.take(sums, range(n), axis=axis)
    mean: Array = (upper - lower) / np.float32(width)
    return mean
