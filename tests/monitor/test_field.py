"""The residual as a field: formulas written out, and what a Gaussian has to find."""

from __future__ import annotations

import numpy as np
import pytest

from cvae_edge.codec import Codec
from cvae_edge.evidence import Evidence
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.monitor import field
from cvae_edge.monitor.blur import blur


def evidence_of(residual: np.ndarray) -> Evidence:
    """Evidence with a given residual: a decoder of 0 gives an image of 0.5."""
    n, *shape = residual.shape
    codec = Codec(
        lambda x: {"mean": np.zeros((n, 2), np.float32), "logvar": np.zeros((n, 2), np.float32)},
        lambda z: {"x_logits": np.zeros((n, *shape), np.float32)},
    )
    return Evidence(codec, (residual + 0.5).astype(np.float32), make_likelihood("bernoulli"))


def cells_of(values: np.ndarray, most: int) -> np.ndarray:
    """Means over two by two blocks, (n, rows * columns), by loops."""
    edges = [
        [*np.linspace(0, n, max(2, min(most, n * most // 16)), endpoint=False).astype(int), n]
        for n in values.shape[1:]
    ]
    cells = [
        values[:, top:bottom, left:right].mean(axis=(1, 2))
        for top, bottom in zip(edges[0], edges[0][2:], strict=False)
        for left, right in zip(edges[1], edges[1][2:], strict=False)
    ]
    return np.stack(cells, axis=1)


@pytest.mark.parametrize("shape", [(32, 32, 1), (45, 30, 3), (8, 9, 1), (3, 2, 1)])
def test_cells_have_the_energy_of_texture_and_the_light(shape):
    residual = np.random.default_rng(0).uniform(-0.5, 0.5, (3, *shape)).astype(np.float32)
    energies = field.cell_energies(evidence_of(residual))
    planes = np.moveaxis(residual, 3, 0)
    reach = max(1, min(shape[:2]) // 64)
    texture = np.stack([plane - blur(plane, reach) for plane in planes])
    fine = cells_of(np.square(texture).mean(axis=0), 16)
    light = np.square(cells_of((residual + 0.5).mean(axis=3), 8))
    np.testing.assert_allclose(energies, np.concatenate([fine, light], axis=1), rtol=1e-3)
    assert energies.shape[1] == sum(rows * columns for rows, columns in field.grids(shape))


SHAPE = (4, 4)  # of images with 3 x 3 fine cells and one coarse cell


def correlated(n: int, seed: int) -> np.ndarray:
    """Energies (n, 10) whose cells rise and fall together."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    return np.exp(common + 0.2 * rng.normal(size=(n, 10))).astype(np.float32)


def test_distance_and_map_follow_their_formulas():
    good, other = correlated(200, 0), correlated(5, 1)
    statistics = field.fit_field(good)
    floor = 0.01 * good.mean(axis=0)
    logs, seen = np.log(good + floor), np.log(other + floor)
    spread = logs.std(axis=0)
    standard, u = ((values - logs.mean(axis=0)) / spread for values in (logs, seen))
    precision = np.linalg.inv(field.shrunk_covariance(standard))
    expected = np.sqrt(np.einsum("ij,jk,ik->i", u, precision, u))
    np.testing.assert_allclose(field.field_distance(other, statistics), expected, rtol=2e-3)
    squares = np.square(u @ precision / np.sqrt(np.diag(precision)))
    assert field.grids(SHAPE) == [(3, 3), (1, 1)]
    fine = blur(squares[:, :9].reshape(5, 3, 3).astype(np.float32), 2)
    expected = np.sqrt((fine + squares[:, 9:, np.newaxis]) / 2)
    np.testing.assert_allclose(field.field_map(other, statistics, SHAPE), expected, rtol=5e-3)


def test_leaving_one_out_is_what_a_regression_on_the_other_cells_leaves():
    good = correlated(400, 0)
    statistics = field.fit_field(good)
    cells = np.log(good + statistics["floor"])
    standard = (cells - statistics["mean"]) / statistics["spread"]
    whitening = statistics["whitening"].astype(np.float64)
    precision = whitening.T @ whitening
    got = (standard @ precision / np.diag(precision))[:, 4]
    covariance = np.linalg.inv(precision)
    others = [0, 1, 2, 3, 5, 6, 7, 8, 9]
    weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, 4])
    np.testing.assert_allclose(got, standard[:, 4] - standard[:, others] @ weights, atol=1e-3)


def test_a_cell_that_does_not_go_with_the_others_is_far_though_each_is_common():
    statistics = field.fit_field(correlated(500, 0))
    together, apart = np.full((1, 10), np.e, np.float32), np.full((1, 10), np.e, np.float32)
    apart[0, 4] = 1 / np.e
    near, far = (field.field_distance(e, statistics)[0] for e in (together, apart))
    assert far > 3 * near


def test_shrinkage_is_that_of_ledoit_and_wolf():
    x = np.random.default_rng(0).normal(size=(20, 30)) * np.linspace(0.5, 2, 30)
    covariance = x.T @ x / 20
    scale = np.trace(covariance) / 30
    apart = np.square(covariance - scale * np.eye(30)).sum()
    noise = sum(np.square(np.outer(row, row) - covariance).sum() for row in x) / 20**2
    share = min(1.0, noise / apart)
    expected = (1 - share) * covariance + share * scale * np.eye(30)
    np.testing.assert_allclose(field.shrunk_covariance(x), expected, rtol=1e-9)


def test_cells_that_never_change_are_no_trouble():
    good = correlated(50, 0)
    good[:, 0] = 0
    statistics = field.fit_field(good)
    assert np.isfinite(field.field_distance(good, statistics)).all()
