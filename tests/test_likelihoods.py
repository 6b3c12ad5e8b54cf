"""Likelihoods against scipy, and against what defines them."""

import numpy as np
import pytest
from scipy import special, stats

from cvae_edge.errors import ConfigError
from cvae_edge.likelihoods import (
    LIKELIHOODS,
    check_likelihood,
    default_likelihood,
    fit_likelihood,
    make_likelihood,
    unit,
)


@pytest.fixture
def pixels():
    """Images of 256 levels, both ends among them, and logits for them: (5, 3, 4, 2)."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (5, 3, 4, 2))
    x[0, 0, 0], x[0, 0, 1] = 0, 255
    return (x / 255).astype(np.float32), rng.normal(0, 3, x.shape).astype(np.float32)


def test_bernoulli_is_scipys_log_probability_summed_over_pixels(pixels):
    x, logits = np.round(pixels[0]), pixels[1]
    expected = stats.bernoulli.logpmf(x, special.expit(logits.astype(np.float64))).sum((1, 2, 3))
    np.testing.assert_allclose(
        make_likelihood("bernoulli").log_prob(x, logits), expected, rtol=1e-5
    )


def test_bernoulli_stays_finite_at_extreme_logits():
    x = np.array([1, 0, 1, 0], np.float32).reshape(4, 1, 1, 1)
    logits = np.array([1e4, 1e4, -1e4, -1e4], np.float32).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(make_likelihood("bernoulli").log_prob(x, logits), [0, -1e4, -1e4, 0])


def test_gaussian_is_scipys_log_density_summed_over_pixels(pixels):
    x, logits = pixels
    expected = stats.norm.logpdf(x, special.expit(logits.astype(np.float64)), 0.07).sum((1, 2, 3))
    got = make_likelihood("gaussian", [0.07]).log_prob(x, logits)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def logistic_by_scipy(x, logits, scales):
    """The definition: the logistic distribution's mass in each level's bin."""
    mean = special.expit(logits.astype(np.float64))
    x = np.asarray(x, np.float64)
    upper = np.where(x > 1 - 1e-6, np.inf, x + 1 / 510)
    lower = np.where(x < 1e-6, -np.inf, x - 1 / 510)
    cdf = stats.logistic.cdf
    mass = cdf(upper, mean, scales) - cdf(lower, mean, scales)
    return np.log(mass).sum(axis=(1, 2, 3))


def test_logistic_is_the_mass_in_each_levels_bin(pixels):
    x, logits = pixels
    got = make_likelihood("logistic", [0.1, 0.04]).log_prob(x, logits)
    np.testing.assert_allclose(got, logistic_by_scipy(x, logits, [0.1, 0.04]), rtol=1e-4)


@pytest.mark.parametrize("scale", [0.5, 0.03, 0.002])
def test_the_256_levels_of_logistic_have_probability_1(scale):
    x = (np.arange(256) / 255).astype(np.float32).reshape(256, 1, 1, 1)
    for logit in (-6.0, 0.3, 5.0):
        log_px = make_likelihood("logistic", [scale]).log_prob(x, np.full_like(x, logit))
        assert np.exp(log_px.astype(np.float64)).sum() == pytest.approx(1, abs=2e-4)


def test_logistic_stays_finite_far_from_its_mean():
    x = np.array([0, 1, 0.5, 1, 0], np.float32).reshape(5, 1, 1, 1)
    logits = np.array([1e4, -1e4, 1e4, 0, 0], np.float32).reshape(5, 1, 1, 1)
    log_px = make_likelihood("logistic", [0.002]).log_prob(x, logits)
    assert np.isfinite(log_px).all()
    np.testing.assert_allclose(log_px[:2], -(1 - 0.5 / 255) / 0.002, rtol=1e-3)  # the tail's slope


@pytest.mark.parametrize("name", ["gaussian", "logistic"])
def test_a_fitted_scale_is_the_likeliest(pixels, name):
    x, logits = pixels
    fitted = fit_likelihood(name, x, logits)
    best = fitted.log_prob(x, logits).astype(np.float64).sum()
    for factor in (0.98, 1.02):
        for i in range(len(fitted.scale)):
            scale = list(fitted.scale)
            scale[i] *= factor
            assert make_likelihood(name, scale).log_prob(x, logits).astype(np.float64).sum() < best


def test_the_best_standard_deviation_is_the_root_of_the_squared_error(pixels):
    x, logits = pixels
    error = np.square(x - special.expit(logits.astype(np.float64))).mean()
    assert fit_likelihood("gaussian", x, logits).scale == (pytest.approx(np.sqrt(error)),)


def test_a_perfect_reconstruction_keeps_a_scale_above_0():
    x = np.full((2, 3, 3, 1), 0.5, np.float32)
    for name in ("gaussian", "logistic"):
        assert fit_likelihood(name, x, np.zeros_like(x)).scale[0] > 0


def test_a_reconstruction_that_is_all_wrong_has_a_finite_scale():
    x = np.array([0, 1], np.float32).reshape(2, 1, 1, 1)
    logits = np.where(x == 0, np.float32(200), np.float32(-200))
    assert 0.1 < fit_likelihood("logistic", x, logits).scale[0] <= 1


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("poisson", [], "likelihood must be one of bernoulli, gaussian, logistic, got 'poisson'"),
        ("gaussian", [], "gaussian must have 1 scales above 0"),
        ("gaussian", [float("nan")], "gaussian must have 1 scales"),
        ("logistic", [0.1, 0.0, 0.1], "logistic must have 3 scales"),
        ("bernoulli", [1.0], "bernoulli must have 0 scales"),
    ],
)
def test_a_likelihood_that_is_none_is_refused(name, scale, message):
    with pytest.raises(ConfigError, match=message):
        make_likelihood(name, scale)


def test_defaults_fit_the_pixels_and_misfits_are_refused_or_labelled():
    assert [default_likelihood(b) for b in ("threshold", "draw", "none")] == [
        "bernoulli",
        "bernoulli",
        "gaussian",
    ]
    for name in ("gaussian", "logistic"):
        with pytest.raises(ConfigError, match="--binarize none keeps, got --binarize threshold"):
            check_likelihood(name, "threshold")
        check_likelihood(name, "none")
    with pytest.raises(ConfigError, match="must be one of bernoulli, gaussian, logistic"):
        check_likelihood("poisson", "none")
    assert unit("bernoulli", "threshold") == "nats"
    assert "no log-likelihood" in unit("bernoulli", "none")
    assert unit("gaussian", "none") == "nats (density)"
    assert set(LIKELIHOODS) == {"bernoulli", "gaussian", "logistic"}
