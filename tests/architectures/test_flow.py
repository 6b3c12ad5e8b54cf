"""A learned prior: one network undoes the other, and tells by how much it stretches."""

from __future__ import annotations

import numpy as np
import pytest

from cvae_edge.architectures.flow import Flow, new_flow, parse_flow
from cvae_edge.errors import ConfigError, RunError
from cvae_edge.training.evaluate import as_graph


def bent(latent_dim: int, blocks: int = 2) -> Flow:
    """A flow that is no rotation any more."""
    rng = np.random.default_rng(0)
    flow = new_flow(latent_dim, 0, blocks, units=16)
    return Flow(
        {
            name: (value + rng.normal(0, 0.1, value.shape)).astype(np.float32)
            for name, value in flow.weights.items()
        }
    )


def draw(n: int, latent_dim: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, latent_dim)).astype(np.float32)


@pytest.mark.parametrize("latent_dim", [2, 3, 8])
def test_prior_and_density_undo_each_other(latent_dim):
    networks = {role: as_graph(n) for role, n in bent(latent_dim).networks().items()}
    eps = draw(50, latent_dim)
    z = networks["prior"](eps=eps)["z"]
    assert np.abs(z - eps).max() > 0.3
    np.testing.assert_allclose(networks["density"](z=z)["eps"], eps, atol=1e-5)


def test_log_det_is_that_of_the_numerical_jacobian():
    density = as_graph(bent(5).networks()["density"])
    z, step = draw(4, 5), np.float32(1e-3)
    for i in range(4):
        moves = step * np.eye(5, dtype=np.float32)
        rows = density(z=z[i] + moves)["eps"] - density(z=z[i] - moves)["eps"]
        _, expected = np.linalg.slogdet(rows.astype(np.float64) / (2 * step))
        assert density(z=z[i : i + 1])["log_det"][0, 0] == pytest.approx(expected, abs=5e-3)


def test_a_new_flow_has_the_density_of_the_standard_normal():
    density = as_graph(new_flow(6, 3).networks()["density"])
    z = draw(5, 6)
    outputs = density(z=z)
    np.testing.assert_allclose(outputs["log_det"], 0, atol=1e-5)
    np.testing.assert_allclose(np.square(outputs["eps"]).sum(1), np.square(z).sum(1), rtol=1e-5)


def test_first_weights_follow_from_the_seed():
    weights, same, other = (new_flow(4, seed).weights for seed in (7, 7, 8))
    assert all(np.array_equal(weights[name], same[name]) for name in weights)
    assert not np.array_equal(weights["mix_0_low/kernel"], other["mix_0_low/kernel"])


def test_one_latent_is_refused():
    with pytest.raises(ConfigError, match="takes at least 2 latents, got 1"):
        new_flow(1, 0)


def test_weights_are_read_back_and_others_refused():
    weights = bent(4).weights
    parsed = parse_flow(weights, 4)
    assert (parsed.latent_dim, parsed.blocks, parsed.layers) == (4, 2, 2)
    nan = {**weights, "low_0_shift/bias": np.full(2, np.nan, np.float32)}
    fewer = {name: value for name, value in weights.items() if name != "low_1_shift/bias"}
    for wrong, latent_dim in ((weights, 5), (nan, 4), (fewer, 4), ({}, 4)):
        with pytest.raises(RunError, match="must have a flow's weights"):
            parse_flow(wrong, latent_dim)
