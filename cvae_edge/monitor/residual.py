"""Residuals in units of their spread on good images, at each place and several scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.evidence import Evidence
from cvae_edge.monitor.blur import blur

BLURS = (1, 2, 4)  # pixels' reach of a box that is taken twice
_LEAST = 1e-3  # of the mean spread: no pixel is surer


def blurred_residuals(evidence: Evidence) -> Array:
    """Return residuals, averaged over channels, blurred at each scale: (n, scales, h, w)."""
    residual = evidence.residual.mean(axis=3)
    return np.stack([blur(residual, reach) for reach in BLURS], axis=1)


def fit_spread(residuals: Array) -> dict[str, Array]:
    """Return ``mean`` and ``spread`` over good images of each pixel and scale: (scales, h, w)."""
    spread = residuals.std(axis=0)
    least = _LEAST * spread.mean(axis=(1, 2), keepdims=True) + np.finfo(np.float32).tiny
    return {"mean": residuals.mean(axis=0), "spread": np.maximum(spread, least)}


def deviation_map(
    residuals: Array, statistics: Mapping[str, Array], image_shape: Sequence[int] = ()
) -> Array:
    """Return the largest deviation over the scales, in standard deviations: (n, h, w)."""
    deviations: Array = np.abs((residuals - statistics["mean"]) / statistics["spread"]).max(axis=1)
    return deviations


def largest_deviation(residuals: Array, statistics: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the largest deviation of each image, (n,)."""
    largest: NDArray[np.float64] = deviation_map(residuals, statistics).max(axis=(1, 2))
    return largest.astype(np.float64)
