"""Ways between latents."""

from __future__ import annotations

import numpy as np
import pytest

from cvae_edge.errors import ConfigError
from cvae_edge.noise import standard_normal
from cvae_edge.runtime.interpolation import interpolate_latents


def test_both_paths_begin_and_end_at_the_given_latents():
    a, b = standard_normal(5, 20, 0), standard_normal(5, 20, 1)
    for path in ("spherical", "linear"):
        z = interpolate_latents(a, b, 7, path)
        assert z.shape == (5, 7, 20)
        assert z.dtype == np.float32
        np.testing.assert_allclose(z[:, 0], a, atol=1e-6)
        np.testing.assert_allclose(z[:, -1], b, atol=1e-6)


def test_a_linear_path_has_equal_steps():
    z = interpolate_latents(standard_normal(1, 8, 0), standard_normal(1, 8, 1), 9, "linear")[0]
    steps = np.diff(z, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-6)


def test_a_spherical_path_keeps_the_length_and_turns_evenly():
    a, b = standard_normal(1, 50, 0), standard_normal(1, 50, 1)
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    z = interpolate_latents(a, b, 9)[0].astype(np.float64)
    lengths = np.linalg.norm(z, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
    angles = np.arccos((z[1:] * z[:-1]).sum(axis=1) / (lengths[1:] * lengths[:-1]))
    np.testing.assert_allclose(angles, angles[0], rtol=1e-3)


def test_latents_in_one_line_or_without_direction_stay_finite():
    a = standard_normal(1, 8, 0)
    for b in (a, 2 * a, -a, 0 * a, a * np.float32(1 + 1e-7)):
        for first, second in ((a, b), (b, a)):
            z = interpolate_latents(first, second, 5)
            assert np.isfinite(z).all()
            np.testing.assert_allclose(z[:, 0], first, atol=1e-6)
            np.testing.assert_allclose(z[:, -1], second, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "steps", "path"), [((1, 8), 1, "linear"), ((1, 8), 3, "round"), ((1, 7), 3, "linear")]
)
def test_arguments_out_of_range_are_named(shape, steps, path):
    with pytest.raises(ConfigError, match="must"):
        interpolate_latents(np.zeros((1, 8), np.float32), np.zeros(shape, np.float32), steps, path)
