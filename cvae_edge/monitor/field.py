"""The residual as a field: is each place as well explained as the others say it should be?

An image is cut into a grid of overlapping cells. How much of each the model leaves unexplained, in
logarithms, is taken for one draw of a Gaussian, whose mean and covariance good images give. So a
cell may stand out by a residual that is too large, by one that is too small, or by one that does
not go with the other cells'. The distance is Mahalanobis 1936's, "On the generalised distance in
statistics"; Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples
and adversarial attacks", take it of features in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.monitor.evidence import Evidence

_BLOCKS = 16  # along a side at most; a cell has two by two of them
_FLOOR = 0.01  # of the good images' mean energy: what lies below is nothing


def cell_energies(evidence: Evidence) -> Array:
    """Return the mean squared residual of each cell: (n, rows, columns)."""
    squares = np.square(evidence.residual).mean(axis=3)
    heights, widths = (np.diff(_edges(side), append=side) for side in squares.shape[1:])
    sums = np.add.reduceat(squares, _edges(squares.shape[1]), axis=1)
    sums = np.add.reduceat(sums, _edges(squares.shape[2]), axis=2)
    energies: Array = _two_by_two(sums) / _two_by_two(np.outer(heights, widths)[np.newaxis])
    return energies.astype(np.float32)


def fit_field(energies: Array) -> dict[str, Array]:
    """Return the Gaussian of good images' cells (n, rows, columns).

    ``floor`` (), ``mean`` and ``spread`` (d,) standardize the d cells; ``whitening`` (d, d), which
    is lower triangular, makes their covariance the identity. That is shrunk towards the identity:
    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    floor = np.float32(max(_FLOOR * float(energies.mean()), np.finfo(np.float32).tiny))
    cells = np.log(energies.reshape(len(energies), -1).astype(np.float64) + floor)
    mean, spread = cells.mean(axis=0), cells.std(axis=0)
    spread = np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-6))
    standard = (cells - mean) / spread
    root = np.linalg.cholesky(shrunk_covariance(standard))
    whitening = np.linalg.solve(root, np.eye(len(root)))
    statistics = {"floor": floor, "mean": mean, "spread": spread, "whitening": whitening}
    return {name: np.asarray(value, np.float32) for name, value in statistics.items()}


def shrunk_covariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of rows x (n, d) of mean 0, shrunk towards a multiple of the identity.

    See ``fit_field``; the weights are those of lemma 3.2 to 3.4 there.
    """
    n, d = x.shape
    covariance: NDArray[np.float64] = x.T @ x / n
    scale = np.trace(covariance) / d
    squared = np.square(covariance).sum()
    spread = squared - d * scale * scale  # of the eigenvalues
    noise = (np.square(np.square(x).sum(axis=1)).sum() / n - squared) / n
    share = 1.0 if spread <= 0 else min(1.0, noise / spread)
    covariance *= 1 - share
    covariance[np.diag_indices(d)] += share * scale
    return covariance


def field_distance(energies: Array, statistics: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return each image's distance from the good ones, (n,)."""
    whitened = _standard(energies, statistics) @ statistics["whitening"].T
    return np.sqrt(np.square(whitened, dtype=np.float64).sum(axis=1))


def field_map(energies: Array, statistics: Mapping[str, Array]) -> Array:
    """Return how far each cell is from what all others predict, in deviations: (n, rows, columns).

    That is |Q u| / sqrt(diag Q) with the precision Q and the standardized cells u, the residual of
    leaving one out (Dubrule 1983, "Cross validation of kriging in a unique neighborhood").
    """
    whitening = statistics["whitening"]
    pulled = _standard(energies, statistics) @ whitening.T @ whitening
    pulled /= np.sqrt(np.square(whitening).sum(axis=0))
    deviations: Array = np.abs(pulled).reshape(energies.shape)
    return deviations


def _standard(energies: Array, statistics: Mapping[str, Array]) -> Array:
    cells = np.log(energies.reshape(len(energies), -1) + statistics["floor"])
    standard: Array = (cells - statistics["mean"]) / statistics["spread"]
    return standard


def _edges(side: int) -> NDArray[np.int64]:
    """Return where the blocks of a side begin."""
    return np.linspace(0, side, min(_BLOCKS, side), endpoint=False).astype(np.int64)


def _two_by_two(blocks: NDArray[np.floating | np.integer]) -> NDArray[np.floating | np.integer]:
    return blocks[:, 1:, 1:] + blocks[:, :-1, 1:] + blocks[:, 1:, :-1] + blocks[:, :-1, :-1]
