"""The calibration set, and ranges that int8 can take from what the networks do on it.

The encoder is calibrated on training images; the decoder on latents it will meet, both encoded
training images with noise and draws from the prior. Never on test images, nor on validation images,
which choose between the ranges.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.config import require
from cvae_edge.elbo import Array, reparameterize
from cvae_edge.errors import DataError
from cvae_edge.exporters.passes.quantize import Range
from cvae_edge.exporters.subject import Subject
from cvae_edge.preprocess import draw_binary

_POSTERIOR, _PRIOR = 1, 2  # streams of noise; evaluations draw from stream 0
_PRIOR_SHARE = 0.4  # draws from the prior for each encoded image
_BINS = 2048
_LEVELS = 256
_LOGITS = {"half a level": math.log(512), "an eighth of a level": math.log(2048)}  # of 256


def calibration_set(subject: Subject, samples: int) -> dict[str, Array]:
    """Return ``x``, training images, and ``z``, their latents and the prior's, for ``samples``.

    Raises:
        ConfigError: no samples.
        DataError: there are no training images.
    """
    require(samples >= 1, "calibration_samples must be at least 1", samples)
    train = subject.dataset.train
    if len(train) == 0:
        raise DataError("calibration needs training images, got none")
    order = noise.permutation(len(train), 0, 0)[:samples]
    x = draw_binary(train.take(np.sort(order)).images, subject.binarize, 0)
    mean, logvar = subject.trained.encode(x)
    posterior = reparameterize(
        mean, logvar, noise.standard_normal(len(mean), subject.vae.latent_dim, _POSTERIOR)
    )
    prior = noise.standard_normal(
        max(1, round(_PRIOR_SHARE * len(x))), subject.vae.latent_dim, _PRIOR
    )
    return {"x": x, "z": np.concatenate([posterior, prior])}


def candidates(values: Array, is_logits: bool) -> dict[str, Range]:
    """Return ranges for one activation by the name of the method that gives them.

    A logit below the negative of the largest hardly differs from it in probability, so logits also
    have symmetric ranges, which spend no steps there. Black and white of grey or colour images have
    logits far beyond those that anyone can tell apart, and so many of them that no percentile
    leaves them out: further ranges end where the image is a part of a grey level from black and
    from white.
    """
    ranges = {"min-max": _with_zero(values.min(), values.max())}
    for percent in (99.99, 99.9):
        low, high = np.percentile(values, [100 - percent, percent])
        ranges[f"percentile {percent:g}"] = _with_zero(low, high)
    ranges["entropy"] = entropy_range(values)
    if is_logits:
        ranges |= {f"symmetric {name}": (-high, high) for name, (_, high) in ranges.items()}
        ends = {name: min(end, float(values.max())) for name, end in _LOGITS.items()}
        ranges |= {name: (-end, end) for name, end in ends.items()}
    usable = {name: r for name, r in ranges.items() if r[0] < r[1]}
    return usable or {"min-max": (0.0, 1.0)}  # always 0: any range has an integer for that


def _with_zero(low: Any, high: Any) -> Range:
    """Widen a range to zero, which padding and ReLU need an integer for."""
    return min(0.0, float(low)), max(0.0, float(high))


def entropy_range(values: Array) -> Range:
    """Return the range whose 8-bit histogram diverges least from the values' own.

    As in TensorRT (Migacz 2017, "8-bit Inference with TensorRT"): values beyond a threshold are
    clipped to it, and the threshold minimizes the Kullback-Leibler divergence between the clipped
    histogram and its quantization to 256 levels. Zeros are left out, which have an integer anyhow.
    """
    magnitude = np.abs(values[values != 0])
    if magnitude.size == 0:
        return 0.0, 0.0
    counts, edges = np.histogram(magnitude, _BINS, (0.0, float(magnitude.max())))
    levels = _LEVELS if values.min() >= 0 else _LEVELS // 2
    ends = range(levels, _BINS + 1, 16)
    best = min(ends, key=lambda end: _divergence(counts, end, levels))
    high = float(edges[best])
    return max(-high, min(0.0, float(values.min()))), min(high, max(0.0, float(values.max())))


def _divergence(counts: NDArray[np.int64], end: int, levels: int) -> float:
    clipped = counts[:end].astype(np.float64)
    present = clipped > 0
    level = np.arange(end) * levels // end
    total = np.bincount(level, clipped, levels)
    filled = np.maximum(np.bincount(level, present, levels), 1)
    quantized = np.where(present, (total / filled)[level], 0.0)
    clipped[-1] += counts[end:].sum()
    p, q = clipped / clipped.sum(), quantized / max(quantized.sum(), 1.0)
    mask = (p > 0) & (q > 0)
    lost = p[(p > 0) & (q == 0)].sum()  # what no level holds: a large, finite penalty
    return float((p[mask] * np.log(p[mask] / q[mask])).sum() + 100 * lost)
