"""The residual as a field: is each place as well explained as the others say it should be?

An image is cut into a grid of overlapping cells. How much of each the model leaves unexplained, in
logarithms, is taken for one draw of a Gaussian, whose mean and covariance good images give. So a
cell may stand out by a residual that is too large, by one that is too small, or by one that does
not go with the other cells'. The distance is Mahalanobis 1936's, "On the generalised distance in
statistics"; Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples
and adversarial attacks", take it of features in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.evidence import Evidence
from cvae_edge.monitor.blur import blur
from cvae_edge.monitor.windows import enlarge

_BLOCKS, _COARSE = 16, 8  # along a side at most; a cell has two by two of them
_REACH = 64  # the smaller side over the reach of the blur that is taken off
_SMOOTH = 2  # cells' reach of the blur of a map; half of it on the coarse grid
_LEAST = 0.1  # of the largest spread: cells that never change, as corners do, count little
_JITTER = 1e-6  # on the covariance's diagonal: cells that are each other's copies
_FLOOR = 0.01  # of the good images' mean energy: what lies below is nothing


def cell_energies(evidence: Evidence) -> Array:
    """Return how much of each cell is not explained, and how bright the image is: (n, cells).

    First come the mean squares of the residual's texture, which is what a blur takes away, in the
    cells of a fine grid row by row. Then come the squared means of the image in the cells of
    a coarse grid, for a place's texture goes with its light.
    """
    residual = evidence.residual
    reach = max(1, min(residual.shape[1:3]) // _REACH)
    texture = [c - blur(c, reach) for c in np.moveaxis(residual, 3, 0)]
    squares = np.square(np.stack(texture)).mean(axis=0)
    fine, light = _cell_means(squares, _BLOCKS), _cell_means(evidence.x.mean(axis=3), _COARSE)
    n = len(residual)
    energies: Array = np.concatenate([fine.reshape(n, -1), np.square(light).reshape(n, -1)], axis=1)
    return energies


def grids(image_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the rows and columns of the fine and of the coarse grid of images (h, w, ...)."""
    return [
        (len(_edges(image_shape[0], most)) - 1, len(_edges(image_shape[1], most)) - 1)
        for most in (_BLOCKS, _COARSE)
    ]


def fit_field(energies: Array) -> dict[str, Array]:
    """Return the Gaussian of good images' cells (n, d).

    ``floor``, ``mean`` and ``spread`` (d,) standardize the d cells; ``whitening`` (d, d), which
    is lower triangular, makes their covariance the identity. That is shrunk towards the identity:
    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
    """
    floor = _FLOOR * energies.mean(axis=0, dtype=np.float64) + np.finfo(np.float32).tiny
    cells = np.log(energies.astype(np.float64) + floor)
    mean, spread = cells.mean(axis=0), cells.std(axis=0)
    spread = np.maximum(spread, _LEAST * max(float(spread.max()), 1e-6))
    standard = (cells - mean) / spread
    identity = np.eye(len(mean))
    root = np.linalg.cholesky(shrunk_covariance(standard) + _JITTER * identity)
    whitening = np.linalg.solve(root, identity)
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


def field_map(
    energies: Array, statistics: Mapping[str, Array], image_shape: Sequence[int]
) -> Array:
    """Return how far each place is from what all others predict: (n, rows, columns).

    With the precision Q and the standardized cells u, Q u / sqrt(diag Q) is the residual of leaving
    one out, in deviations (Dubrule 1983, "Cross validation of kriging in a unique neighborhood").
    The map is the root of its square's mean over neighbours and over both grids.
    """
    whitening = statistics["whitening"]
    pulled = _standard(energies, statistics) @ whitening.T @ whitening
    squares = np.square(pulled) / np.square(whitening).sum(axis=0)
    fine_grid, coarse_grid = grids(image_shape)
    cells = fine_grid[0] * fine_grid[1]
    fine = blur(squares[:, :cells].reshape(-1, *fine_grid), _SMOOTH)
    coarse = blur(squares[:, cells:].reshape(-1, *coarse_grid), _SMOOTH // 2)
    deviations: Array = np.sqrt((fine + enlarge(coarse, fine_grid)) / 2)
    return deviations


def _standard(energies: Array, statistics: Mapping[str, Array]) -> Array:
    cells = np.log(energies + statistics["floor"])
    standard: Array = (cells - statistics["mean"]) / statistics["spread"]
    return standard


def _cell_means(values: Array, most: int) -> Array:
    """Return the means of the cells of (n, h, w): (n, rows, columns)."""
    edges = [_edges(side, most) for side in values.shape[1:]]
    sizes = [np.diff(e, append=side) for e, side in zip(edges, values.shape[1:], strict=True)]
    sums = np.add.reduceat(np.add.reduceat(values, edges[0], axis=1), edges[1], axis=2)
    pixels = np.outer(*sizes).astype(np.float32)
    means: Array = _two_by_two(sums) / _two_by_two(pixels[np.newaxis])
    return means


def _edges(side: int, most: int) -> NDArray[np.int64]:
    """Return where the blocks of a side begin: at most so many, and a coarse one has two pixels."""
    blocks = max(2, min(most, side * most // _BLOCKS))
    return np.linspace(0, side, blocks, endpoint=False).astype(np.int64)


def _two_by_two(blocks: Array) -> Array:
    cells: Array = blocks[:, 1:, 1:] + blocks[:, :-1, 1:] + blocks[:, 1:, :-1] + blocks[:, :-1, :-1]
    return cells
