"""Thresholds whose share of false alarms is known, and how well it is known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.model_config import require

CONFIDENCE = 0.95  # of the intervals
_LEAST = 3.0  # alarms to expect: without any among n, the rate is at most 3 / n, surely (95%)
_HALVINGS = 60


def check_rate(rate: float) -> None:
    """Raise ConfigError unless ``rate`` is a share of alarms that can be asked for."""
    require(0 < rate < 1, "the rate of false alarms must be above 0 and below 1", rate)


def needed(rate: float) -> int:
    """Return how many good images a rate needs at least: 3 / rate."""
    return math.ceil(_LEAST / rate - 1e-9)


def rank_of(n: int, rate: float) -> int:
    """Return which of ``n`` good images' ascending scores, from 1, is the threshold.

    It is the ceil((n + 1) (1 - rate))-th: a further good image scores above it with a probability
    of at most ``rate`` (split conformal prediction: Vovk, Gammerman and Shafer 2005, section 2.2).

    Raises:
        DataError: there are too few for the rate.
    """
    check_rate(rate)
    if n < needed(rate):
        raise DataError(
            f"a rate of {rate * 100:g}% needs at least {needed(rate)} good images, got {n}"
        )
    return math.ceil((n + 1) * (1 - rate) - 1e-9)


def rate_interval(n: int, rank: int) -> tuple[float, float]:
    """Return the 95% interval of the false-alarm rate above the ``rank``-th of n good scores.

    That rate has the distribution Beta(n + 1 - rank, rank), whatever the scores' own is (order
    statistics; Vovk 2012, "Conditional validity of inductive conformal predictors", prop. 2a).
    """
    tail = (1 - CONFIDENCE) / 2
    above = n + 1 - rank
    return _beta_quantile(above, rank, tail), _beta_quantile(above, rank, 1 - tail)


def share_interval(alarms: int, n: int) -> tuple[float, float]:
    """Return the exact 95% interval of a probability, of which ``alarms`` of ``n`` were seen.

    Clopper and Pearson 1934, "The use of confidence or fiducial limits".

    Raises:
        DataError: there is nothing to count.
    """
    if n < 1:
        raise DataError("a share needs at least 1 image, got 0")
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if alarms == 0 else _beta_quantile(alarms, n - alarms + 1, tail)
    high = 1.0 if alarms == n else _beta_quantile(alarms + 1, n - alarms, 1 - tail)
    return low, high


def _beta_quantile(a: int, b: int, probability: float) -> float:
    """Return the quantile of Beta(a, b): where P(Binomial(a + b - 1, p) >= a) is it."""
    n = a + b - 1
    counts = np.arange(a, n + 1)
    log_gamma = np.array([math.lgamma(k) for k in range(1, n + 2)])  # of k! at k
    log_choices = log_gamma[n] - log_gamma[counts] - log_gamma[n - counts]
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _upper_tail(log_choices, counts, n, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _upper_tail(
    log_choices: NDArray[np.float64], counts: NDArray[np.int64], n: int, p: float
) -> float:
    terms = log_choices + counts * math.log(p) + (n - counts) * math.log1p(-p)
    return float(np.exp(terms).sum())
