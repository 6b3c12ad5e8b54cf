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
from cvae_edge.monitor.blur import blur
from cvae_edge.monitor.evidence import Evidence

_BLOCKS = 16  # along a side at most; a cell has two by two of them
_REACH = 64  # the smaller side over the reach of the blur that is taken off
_SMOOTH = 2  # cells' reach of the blur of a map
_LEAST = 0.1  # of the largest spread: cells that never change, as corners do, count little
_FLOOR = 0.01  # of the good images' mean energy: what lies below is nothing


def cell_energies(evidence: Evidence) -> Array:
    """Return the mean square of each cell's residual, less what is smooth: (n, rows, columns).

    How bright a place is differs from one good image to the next; its texture less so.
    """
    residual = evidence.residual
    reach = max(1, min(residual.shape[1:3]) // _REACH)
    fine = np.stack([c - blur(c, reach) for c in np.moveaxis(residual, 3, 0)])
    squares = np.square(fine).mean(axis=0)
    heights, widths = (np.diff(_edges(side), append=side) for side in squares.shape[1:])
    sums = np.add.reduceat(squares, _edges(squares.shape[1]), axis=1)
    sums = np.add.reduceat(sums, _edges(squares.shape[2]), axis=2)
    pixels = np.outer(heights, widths).astype(np.float32)
    energies: Array = _two_by_two(sums) / _two_by_two(pixels[np.newaxis])
    return energies


def fit_field(energies: Array) -> dict[str, Array]:
    """Return the Gaussian of good images' cells (n, rows, columns).

    ``floor`` (), ``mean`` and ``spread`` (d,) standardize the d cells; ``whitening`` (d, d), which
    is lower triangular, makes their covariance the identity. That is shrunk towards the identity:
    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    floor = max(_FLOOR * float(energies.mean()), float(np.finfo(np.float32).tiny))
    cells = np.log(energies.reshape(len(energies), -1).astype(np.float64) + floor)
    mean, spread = cells.mean(axis=0), cells.std(axis=0)
    spread = np.maximum(spread, _LEAST * max(float(spread.max()), 1e-6))
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
    distance: NDArray[np.float64] = np.sqrt(np.square(whitened, dtype=np.float64).sum(axis=1))
    return distance


def field_map(energies: Array, statistics: Mapping[str, Array]) -> Array:
    """Return how far each cell is from what all others predict: (n, rows, columns).

    With the precision Q and the standardized cells u, Q u / sqrt(diag Q) is the residual of leaving
    one out, in deviations (Dubrule 1983, "Cross validation of kriging in a unique neighborhood").
    The map is the root of its square's mean over neighbours.
    """
    whitening = statistics["whitening"]
    pulled = _standard(energies, statistics) @ whitening.T @ whitening
    pulled /= np.sqrt(np.square(whitening).sum(axis=0))
    deviations: Array = np.sqrt(blur(np.square(pulled).reshape(energies.shape), _SMOOTH))
    return deviations


def _standard(energies: Array, statistics: Mapping[str, Array]) -> Array:
    cells = np.log(energies.reshape(len(energies), -1) + statistics["floor"])
    standard: Array = (cells - statistics["mean"]) / statistics["spread"]
    return standard


def _edges(side: int) -> NDArray[np.int64]:
    """Return where the blocks of a side begin."""
    return np.linspace(0, side, min(_BLOCKS, side), endpoint=False).astype(np.int64)


def _two_by_two(blocks: Array) -> Array:
    cells: Array = blocks[:, 1:, 1:] + blocks[:, :-1, 1:] + blocks[:, 1:, :-1] + blocks[:, :-1, :-1]
    return cells
