"""Likelihoods log p(x|z) of images, in numpy; a table by name.

All read ``x_logits``, and the image is m = sigmoid(x_logits) under each, so every engine, file and
kit stays the same. Values are in nats per image, summed over pixels. ``training.likelihoods`` has
the same formulas in TensorFlow, for gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cvae_edge.model_config import require, require_choice
from cvae_edge.preprocess import Binarize
from cvae_edge.sigmoid import sigmoid

Array = NDArray[np.float32]
LEVELS = 256  # of a pixel
SMALLEST_SCALE = 1 / 512  # half a level: below, pixels are no better known
_SEARCH_STEPS = 40
_DISTANCES = 1 << 16  # from -1 to 1 that a scale's search tells apart: 257 a level


class Likelihood(Protocol):
    """A distribution of the pixels, given x_logits."""

    @property
    def name(self) -> str:
        """Its name in ``LIKELIHOODS``."""

    @property
    def scale(self) -> tuple[float, ...]:
        """What was learned with the weights; empty if nothing is."""

    def log_prob(self, x: Array, x_logits: Array) -> Array:
        """Return log p(x|z), (n,), in nats, of images x (n, h, w, c) in [0, 1]."""


class Bernoulli(NamedTuple):
    """Binary pixels: log p = x * l - log(1 + exp(l))."""

    scale: tuple[float, ...] = ()
    name: str = "bernoulli"

    def log_prob(self, x: Array, x_logits: Array) -> Array:
        """See ``Likelihood``."""
        magnitude = np.abs(x_logits)
        # log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|)), which cannot overflow. numpy has a
        # vector loop for log, not for log1p; the rounding this adds is below 1e-7 a pixel.
        np.negative(magnitude, out=magnitude)
        np.exp(magnitude, out=magnitude)
        magnitude += np.float32(1)
        np.log(magnitude, out=magnitude)
        terms = x * x_logits
        terms -= np.maximum(x_logits, np.float32(0))
        terms -= magnitude
        return _sum(terms)


class Gaussian(NamedTuple):
    """A density: mean sigmoid(x_logits), one standard deviation for all pixels.

    Its optimum is the root of the mean squared error (sigma-VAE: Rybkin, Daniilidis and Levine
    2021, "Simple and Effective VAE Training with Calibrated Decoders", equation 6).
    """

    scale: tuple[float, ...]  # the standard deviation
    name: str = "gaussian"

    def log_prob(self, x: Array, x_logits: Array) -> Array:
        """See ``Likelihood``."""
        (sigma,) = self.scale
        residual = x - sigmoid(x_logits.copy())
        residual *= residual
        constant = x[0].size * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
        log_px: Array = -_sum(residual) / np.float32(2 * sigma * sigma) - np.float32(constant)
        return log_px


class Logistic(NamedTuple):
    """Discretized logistic over 256 levels, one scale a channel (Salimans et al. 2017).

    Level k / 255 has the probability of its bin, F(k / 255 + 1 / 510) - F(k / 255 - 1 / 510), with
    F the logistic distribution's around sigmoid(x_logits); the bins at 0 and 1 have the tails.
    """

    scale: tuple[float, ...]  # by channel
    name: str = "logistic"

    def log_prob(self, x: Array, x_logits: Array) -> Array:
        """See ``Likelihood``."""
        return _sum(logistic_terms(x, sigmoid(x_logits.copy()), np.asarray(self.scale, np.float32)))


LIKELIHOODS: dict[str, Any] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "logistic": Logistic,
}


def logistic_terms(x: Array, mean: Array, scale: Array) -> Array:
    """Return the log-probability of every value, in the shape of ``x``."""
    half = np.float32(0.5 / (LEVELS - 1))
    levels = np.rint(x * np.float32(LEVELS - 1))
    centred = levels / np.float32(LEVELS - 1) - mean
    log_upper = -_softplus((-half - centred) / scale)  # log F(upper)
    log_lower = -_softplus((centred - half) / scale)  # log(1 - F(lower))
    # F(u) - F(l) = F(u) (1 - F(l)) (1 - exp(l - u)), which loses no digits in either tail.
    inside = log_upper + log_lower
    inside += np.log(-np.expm1(-2 * half / scale))
    terms: Array = np.where(x < half, log_upper, np.where(x > 1 - half, log_lower, inside))
    return terms


def make_likelihood(name: str, scale: Sequence[float] = (), channels: int | None = None) -> Any:
    """Return a likelihood by its name.

    Args:
        name: one of ``LIKELIHOODS``.
        scale: what was learned: nothing, a standard deviation, or one scale a channel.
        channels: of the images, if they are known.

    Raises:
        ConfigError: the name is unknown, or the scale is not what the likelihood needs.
    """
    require_choice("likelihood", name, tuple(LIKELIHOODS))
    counts = {"bernoulli": 0, "gaussian": 1, "logistic": channels or max(1, len(scale))}
    numbers = all(type(s) in (int, float) and 0 < s < math.inf for s in scale)
    require(
        numbers and len(scale) == counts[name],
        f"the likelihood {name} must have {counts[name]} scales above 0",
        list(scale)[:8],
    )
    return LIKELIHOODS[name](tuple(float(s) for s in scale))


def fit_likelihood(name: str, x: Array, x_logits: Array) -> Any:
    """Return the likelihood with the scale that makes ``x`` likeliest.

    Args:
        name: one of ``LIKELIHOODS``.
        x: images (n, h, w, c) in [0, 1].
        x_logits: what a decoder gives for them.
    """
    channels = x.shape[-1]
    if name == "bernoulli":
        return make_likelihood(name)
    mean = sigmoid(x_logits.copy())
    if name == "gaussian":
        error = float(np.square(x - mean, dtype=np.float64).mean())
        return make_likelihood(name, [max(math.sqrt(error), SMALLEST_SCALE)])
    return make_likelihood(
        name, [_fit_scale(x[..., c], mean[..., c]) for c in range(channels)], channels
    )


def _fit_scale(x: Array, mean: Array) -> float:
    """Find the logistic scale by golden sections; in its logarithm the sum has one maximum.

    A value's probability depends on its distance from the mean, and on whether it lies at an end.
    Equal ones are counted, and looked at once.
    """
    levels = np.rint(x * np.float32(LEVELS - 1)).astype(np.int64)
    ends = np.where(levels == 0, 0, np.where(levels == LEVELS - 1, 2, 1))
    distance = np.rint((levels / (LEVELS - 1) - mean + 1) * (_DISTANCES // 2)).astype(np.int64)
    counts = np.bincount((ends * (_DISTANCES + 1) + distance).ravel())
    (seen,) = counts.nonzero()
    end, number = np.divmod(seen, _DISTANCES + 1)
    at = np.array([0, 0.5, 1], np.float32)[end]
    level = np.rint(at * np.float32(LEVELS - 1)) / np.float32(LEVELS - 1)
    away = level - (number / (_DISTANCES // 2) - 1).astype(np.float32)

    def value(log_scale: float) -> float:
        terms = logistic_terms(at, away, np.asarray([math.exp(log_scale)], np.float32))
        return float(terms.astype(np.float64) @ counts[seen])

    return math.exp(_maximize(value, math.log(SMALLEST_SCALE / 4), 0.0))


def _maximize(value: Callable[[float], float], low: float, high: float) -> float:
    """Return where ``value``, which has one maximum between ``low`` and ``high``, has it."""
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = value(a), value(b)
    for _ in range(_SEARCH_STEPS):
        if at_a < at_b:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = value(b)
        else:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = value(a)
    return (low + high) / 2


def default_likelihood(binarize: Binarize) -> str:
    """Return the likelihood that fits pixels: bernoulli if they are binary, else gaussian."""
    return "gaussian" if binarize == "none" else "bernoulli"


def check_likelihood(name: str, binarize: Binarize) -> None:
    """Raise ConfigError unless pixels can have the likelihood ``name``."""
    require_choice("likelihood", name, tuple(LIKELIHOODS))
    require(
        name == "bernoulli" or binarize == "none",
        f"the likelihood {name} is one of grey or colour pixels, which --binarize none keeps",
        f"--binarize {binarize}",
    )


def unit(name: str, binarize: Binarize) -> str:
    """Return what values of the likelihood ``name`` are called where they are printed."""
    if name == "gaussian":
        return "nats (density)"
    if name == "bernoulli" and binarize == "none":
        return "nats (no log-likelihood: pixels are not binary)"
    return "nats"


def _sum(terms: Array) -> Array:
    total: Array = terms.reshape(len(terms), -1).sum(axis=1)
    return total


def _softplus(x: Array) -> Array:
    """Return log(1 + exp(x)); see ``Bernoulli.log_prob``."""
    terms: Array = np.abs(x)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    terms += np.float32(1)
    np.log(terms, out=terms)
    terms += np.maximum(x, np.float32(0))
    return terms
