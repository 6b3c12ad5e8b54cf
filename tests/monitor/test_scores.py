"""Scores of one number an image: each formula written out."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from cvae_edge.codec import Codec
from cvae_edge.errors import ConfigError
from cvae_edge.evidence import Evidence
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.monitor import residual, scores
from cvae_edge.monitor.blur import blur
from cvae_edge.monitor.methods import METHODS, find_method

RNG = np.random.default_rng(0)
X = (RNG.random((4, 12, 10, 1)) > 0.5).astype(np.float32)
MEAN, LOGVAR = RNG.normal(size=(2, 4, 3)).astype(np.float32)
LOGITS = RNG.normal(size=X.shape).astype(np.float32)


@pytest.fixture
def evidence() -> Evidence:
    codec = Codec(lambda x: {"mean": MEAN, "logvar": LOGVAR}, lambda z: {"x_logits": LOGITS})
    return Evidence(codec, X, make_likelihood("bernoulli"))


def nats() -> tuple[np.ndarray, np.ndarray]:
    probability = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    log_px = np.log(np.where(X > 0, probability, 1 - probability)).sum(axis=(1, 2, 3))
    kl = 0.5 * (MEAN**2 + np.exp(LOGVAR) - LOGVAR - 1).sum(axis=1)
    return log_px, kl


def test_the_elbo_is_its_two_parts(evidence):
    log_px, kl = nats()
    np.testing.assert_allclose(scores.negative_likelihood(evidence), -log_px, rtol=1e-5)
    np.testing.assert_allclose(scores.kl(evidence), kl, rtol=1e-5)
    np.testing.assert_allclose(scores.negative_elbo(evidence), kl - log_px, rtol=1e-5)


def test_mu_squared_is_the_squared_length_of_the_mean(evidence):
    np.testing.assert_allclose(scores.mu_squared(evidence), (MEAN**2).sum(axis=1), rtol=1e-5)


def test_errors_are_of_the_residual(evidence):
    r = X - 1 / (1 + np.exp(-LOGITS))
    expected = np.square(r).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(scores.squared_error(evidence), expected, rtol=1e-4)
    energy = np.square(blur(X[..., 0], 1)).sum(axis=(1, 2)) + 1e-3
    expected = np.square(blur(r[..., 0], 1)).sum(axis=(1, 2)) / energy
    np.testing.assert_allclose(scores.relative_error(evidence), expected, rtol=1e-4)


def test_complexity_takes_the_compressed_bits_off(evidence):
    log_px, kl = nats()
    bits = [8 * len(zlib.compress((255 * x).astype(np.uint8).tobytes(), 9)) for x in X]
    expected = kl - log_px - np.log(2) * np.array(bits)
    np.testing.assert_allclose(scores.complexity(evidence), expected, rtol=1e-5)


def test_blur_is_two_means_over_a_square():
    image = RNG.random((1, 9, 7)).astype(np.float32)
    expected = image[0]
    for axis in (0, 1):
        for _ in range(2):
            padded = np.pad(expected, [(2, 2) if a == axis else (0, 0) for a in (0, 1)], "edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=axis)
            expected = windows.mean(axis=-1)
    np.testing.assert_allclose(blur(image, 2)[0], expected, atol=1e-5)


def test_residuals_are_over_their_spread_on_good_images():
    good = RNG.normal(2, 3, (200, 2, 5, 5)).astype(np.float32)
    statistics = residual.fit_spread(good)
    far = good[:1].copy()
    far[0, 1, 2, 3] = good[:, 1, 2, 3].mean() - 9 * good[:, 1, 2, 3].std()
    heat = residual.deviation_map(far, statistics, (5, 5))
    assert heat[0, 2, 3] == pytest.approx(9, rel=1e-3)
    assert residual.largest_deviation(far, statistics)[0] == pytest.approx(9, rel=1e-3)


def test_methods_that_need_no_decoder_call_none():
    codec = Codec(lambda x: {"mean": MEAN, "logvar": LOGVAR})
    for method in METHODS.values():
        if not method.decodes:
            features = method.features(Evidence(codec, X, make_likelihood("bernoulli")))
            assert method.distance(features, {}).shape == (4,)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="method must be one of field, residual, elbo"):
        find_method("magic")
