"""Thresholds: their ranks, and the intervals of the rates that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cvae_edge.errors import ConfigError, DataError
from cvae_edge.monitor.rates import needed, rank_of, rate_interval, share_interval


@pytest.mark.parametrize(("n", "rate"), [(300, 0.01), (1000, 0.01), (60, 0.05), (77, 0.1)])
def test_interval_is_that_of_the_beta_distribution_of_order_statistics(n, rate):
    rank = rank_of(n, rate)
    expected = stats.beta.ppf([0.025, 0.975], n + 1 - rank, rank)
    np.testing.assert_allclose(rate_interval(n, rank), expected, rtol=1e-6)


@pytest.mark.parametrize(("alarms", "n"), [(0, 50), (50, 50), (3, 100), (500, 20_000)])
def test_share_interval_is_exact(alarms, n):
    expected = stats.binomtest(alarms, n).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(share_interval(alarms, n), expected, atol=1e-9)


def test_a_further_good_image_is_above_the_threshold_as_often_as_asked():
    rng = np.random.default_rng(0)
    rank = rank_of(99, 0.05)
    above = [rng.normal() > np.sort(rng.normal(size=99))[rank - 1] for _ in range(9999)]
    assert np.mean(above) == pytest.approx(0.05, abs=0.007)


def test_too_few_good_images_are_refused_in_a_sentence():
    assert needed(0.01) == 300
    with pytest.raises(DataError, match="a rate of 1% needs at least 300 good images, got 40"):
        rank_of(40, 0.01)
    with pytest.raises(DataError, match="at least 1 image"):
        share_interval(0, 0)


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_rates_of_0_and_1_are_refused(rate):
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        rank_of(1000, rate)
