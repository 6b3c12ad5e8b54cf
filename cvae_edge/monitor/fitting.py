"""From good images to their statistics, a threshold, and the interval of its false-alarm rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.errors import DataError
from cvae_edge.monitor.methods import Method
from cvae_edge.monitor.rates import rank_of, rate_interval

_PARTS = 50  # that good images are scored in, each by statistics of the other parts
_QUANTILES = 101  # of good scores that are kept, for a drift to show against


class Fit(NamedTuple):
    """What a monitor holds for one pair of files."""

    threshold: float  # distance above which an image is anomalous
    typical: float  # distance of a good image, in the median
    map_threshold: float | None  # the same of the largest value of a map; None: the method has none
    quantiles: tuple[float, ...]  # of the good images' scores, ascending
    interval: tuple[float, float]  # of the false-alarm rate, 95%
    statistics: Mapping[str, Array]

    def scores(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scores: 0 is the typical good image, 1 the threshold, higher is more anomalous."""
        return (distance - self.typical) / (self.threshold - self.typical)


def fit(
    method: Method, features: NDArray[Any], image_shape: Sequence[int], windows: int, rate: float
) -> Fit:
    """Fit a method to good images' features, (n * windows, ...), a row a window of an image.

    ``image_shape`` is that of a window.

    All images serve for the statistics and for the threshold: each is scored by statistics of the
    others alone (in at most 50 parts, as Vovk 2015, "Cross-conformal predictors", does).

    Raises:
        ConfigError: the rate is not between 0 and 1.
        DataError: too few images for it, or images that are all alike.
    """
    n = len(features) // windows
    rank = rank_of(n, rate)
    distances, largest = _of_others(method, features, image_shape, windows)
    typical = float(np.median(distances))
    threshold = float(np.sort(distances)[rank - 1])
    if not threshold > typical or np.ptp(distances) <= 1e-9 * abs(typical):
        raise DataError("good images must differ from each other, their scores are all the same")
    quantiles = np.quantile((distances - typical) / (threshold - typical), _steps())
    return Fit(
        threshold,
        typical,
        None if largest is None else float(np.sort(largest)[rank - 1]),
        tuple(float(q) for q in quantiles),
        rate_interval(n, rank),
        method.fit(features),
    )


def _steps() -> NDArray[np.float64]:
    return np.linspace(0, 1, _QUANTILES)


def _of_others(
    method: Method, features: NDArray[Any], image_shape: Sequence[int], windows: int
) -> tuple[NDArray[np.float64], Array | None]:
    """Return each image's distance, and the largest value of its map, by the others' statistics."""
    n = len(features) // windows
    parts = min(_PARTS, n)
    of_part = np.arange(n) * parts // n  # neighbours, often of the same thing, stay together
    distances = np.empty(n)
    largest = None if method.map is None else np.empty(n, np.float32)
    for part in range(parts):
        out = np.flatnonzero(of_part == part)
        rows = (out[:, np.newaxis] * windows + np.arange(windows)).ravel()
        statistics = method.fit(np.delete(features, rows, axis=0))
        distances[out] = worst(method.distance(features[rows], statistics), windows)
        if method.map is not None and largest is not None:
            maps = method.map(features[rows], statistics, image_shape)
            largest[out] = worst(maps.reshape(len(rows), -1).max(axis=1), windows)
    return distances, largest


def worst(values: NDArray[Any], windows: int) -> NDArray[Any]:
    """Return the largest of each image's windows: (n * windows,) to (n,)."""
    largest: NDArray[Any] = values.reshape(-1, windows).max(axis=1)
    return largest
