"""The portable noise: fixed values, independence of batches, and a normal distribution."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from cvae_edge.errors import ConfigError
from cvae_edge.noise import permutation, standard_normal, uniform

_MASK = 2**64 - 1


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10, after Salmon et al. 2011, in plain integers."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = counter[0] * 0xD2E7470EE14C6C93, counter[2] * 0xCA5A826395121157
        counter = [
            (b >> 64) ^ counter[1] ^ key[0],
            b & _MASK,
            (a >> 64) ^ counter[3] ^ key[1],
            a & _MASK,
        ]
        key = [(key[0] + 0x9E3779B97F4A7C15) & _MASK, (key[1] + 0xBB67AE8584CAA73B) & _MASK]
    return counter


def by_hand(image: int, latent_dim: int, seed: int, sample: int) -> list[float]:
    """One image's noise, from the layout in the docstring alone."""
    blocks = -(-latent_dim // 4)
    words = [
        word
        for block in range(blocks)
        for word in philox4x64([1 + image * blocks + block, 0, 0, 0], [seed, sample])
    ]
    u = [((word >> 11) + 0.5) * 2.0**-53 for word in words]
    values = []
    for u1, u2 in zip(u[::2], u[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(u1))
        values += [radius * math.cos(2 * math.pi * u2), radius * math.sin(2 * math.pi * u2)]
    return values[:latent_dim]


def test_values_are_those_that_every_implementation_must_give():
    expected = [
        [0.15853384, 2.9828794, -1.9256920, -0.82492554, -0.20250328],
        [0.56044483, 1.5582490, 0.55976748, 0.60566503, -0.033185933],
    ]
    np.testing.assert_allclose(standard_normal(2, 5), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "latent_dim", "seed", "sample"),
    [(0, 50, 0, 0), (0, 1, 0, 0), (37, 50, 0, 0), (5, 3, 2**64 - 1, 7), (2**40, 9, 1, 2**64 - 1)],
)
def test_values_follow_the_documented_layout(image, latent_dim, seed, sample):
    got = standard_normal(1, latent_dim, seed, image, sample)[0]
    np.testing.assert_allclose(got, by_hand(image, latent_dim, seed, sample), rtol=2e-6, atol=1e-7)


def test_an_image_has_the_same_noise_in_any_batch_and_order():
    whole = standard_normal(3000, 50, seed=4)
    for start, n in ((0, 1), (1, 1), (2, 1), (2999, 1), (37, 5), (37, 5), (100, 2000), (7, 64)):
        np.testing.assert_array_equal(standard_normal(n, 50, 4, start), whole[start : start + n])


def test_going_on_in_a_stream_one_by_one_gives_the_stream():
    whole = standard_normal(200, 50, seed=3)
    for start in range(200):
        got = standard_normal(1, 50, 3, start)
        np.testing.assert_array_equal(got, whole[start : start + 1])
        got[:] = np.nan  # a caller's own array: what it does to it stays with it
        again = standard_normal(1, 50, 3, start)
        np.testing.assert_array_equal(again, whole[start : start + 1])
        again[:] = np.nan
        if start % 7 == 0:  # another stream in between
            standard_normal(1, 50, 99, start)


@pytest.mark.parametrize("n", [1, 3])
def test_taking_seed_after_seed_gives_each_seeds_noise(n):
    for seed in range(2**64 - 50, 2**64):
        whole = standard_normal(40, 50, seed, start=5)  # too many to be drawn ahead
        got = standard_normal(n, 50, seed, start=5)
        np.testing.assert_array_equal(got, whole[:n])
        got[:] = np.nan
        again = standard_normal(n, 50, seed, start=5)
        np.testing.assert_array_equal(again, whole[:n])
        again[:] = np.nan
        if seed % 7 == 0:  # others in between
            standard_normal(n, 50, 0, start=5)
            np.testing.assert_array_equal(standard_normal(1, 50, seed, start=6), whole[1:2])


def test_threads_do_not_disturb_each_other():
    expected = [standard_normal(100, 10, seed) for seed in range(8)]
    failures: list[int] = []

    def draw(seed: int) -> None:
        for start in range(100):
            if (standard_normal(1, 10, seed, start) != expected[seed][start]).any():
                failures.append(seed)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_seeds_and_samples_are_different_streams():
    draws = [standard_normal(10, 8, seed, 0, sample) for seed in range(5) for sample in range(5)]
    correlations = np.corrcoef([draw.ravel() for draw in draws])
    assert np.abs(correlations - np.eye(25)).max() < 0.5


def test_moments_are_those_of_a_normal_distribution():
    x = standard_normal(40_000, 50, seed=11).astype(np.float64).ravel()
    n = x.size
    # Standard errors of the mean, variance, skewness and kurtosis of n normal values.
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs(x.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)


def test_tails_have_the_normal_distributions_weight():
    x = np.abs(standard_normal(40_000, 50, seed=12).ravel())
    for limit in (2.0, 3.0, 4.0):
        share = math.erfc(limit / math.sqrt(2))
        expected = share * x.size
        assert abs((x > limit).sum() - expected) < 4 * math.sqrt(expected)
    assert x.max() < math.sqrt(-2 * math.log(0.5 * 2.0**-53))  # the largest there can be


def test_the_distribution_passes_a_kolmogorov_smirnov_test():
    stats = pytest.importorskip("scipy.stats")
    assert stats.kstest(standard_normal(4000, 50, seed=5).ravel(), "norm").pvalue > 0.01


def test_latents_of_neighbouring_images_are_uncorrelated():
    x = standard_normal(20_000, 8, seed=6).astype(np.float64)
    both = np.hstack([x[:-1], x[1:]])  # an image's latents beside the next one's
    correlations = np.corrcoef(both.T) - np.eye(16)
    assert np.abs(correlations).max() < 4.5 / math.sqrt(len(both))


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": 0},
        {"n": -1},
        {"latent_dim": 0},
        {"seed": -1},
        {"seed": 2**64},
        {"start": -1},
        {"start": 2**64},
        {"sample": -1},
        {"sample": 2**64},
    ],
)
def test_arguments_out_of_range_are_named(arguments):
    with pytest.raises(ConfigError, match="must be"):
        standard_normal(**{"n": 1, "latent_dim": 4, **arguments})


def test_uniform_values_follow_the_documented_layout():
    """Image i of 7 pixels owns counters 1 + 2 i and 2 + 2 i; a word's first 23 bits are a value."""
    for start, seed in ((0, 0), (5, 3), (2**40, 2**64 - 1)):
        got = uniform((2, 7), seed, start)
        for i, row in enumerate(got):
            counter = 1 + 2 * (start + i)
            words = [
                word
                for block in range(2)
                for word in philox4x64([counter + block, 0, 0, 0], [seed, 0])
            ]
            np.testing.assert_array_equal(row, [((w >> 41) + 0.5) * 2.0**-23 for w in words[:7]])


def test_a_permutation_is_the_order_of_the_documented_words():
    for n, seed, epoch in ((10, 0, 0), (6, 7, 3), (9, 2**64 - 1, 2**40)):
        words = [
            word
            for block in range(-(-n // 4))
            for word in philox4x64([1 + block, 0, 0, 0], [seed, epoch])
        ][:n]
        assert permutation(n, seed, epoch).tolist() == sorted(range(n), key=words.__getitem__)


def test_uniform_values_are_inside_0_and_1_and_evenly_spread():
    u = uniform((2000, 10, 10), seed=1)
    assert u.dtype == np.float32
    assert u.min() > 0
    assert u.max() < 1
    counts, _ = np.histogram(u, bins=20, range=(0, 1))
    assert np.abs(counts - u.size / 20).max() < 5 * math.sqrt(u.size / 20)


def test_uniform_values_do_not_depend_on_the_batch():
    whole = uniform((100, 7, 3), seed=2)
    np.testing.assert_array_equal(uniform((10, 7, 3), 2, 40), whole[40:50])


def test_a_permutation_is_one_and_differs_by_epoch():
    first, second = permutation(1000, 0, 0), permutation(1000, 0, 1)
    np.testing.assert_array_equal(np.sort(first), np.arange(1000))
    assert (first != second).mean() > 0.9
    np.testing.assert_array_equal(first, permutation(1000, 0, 0))
