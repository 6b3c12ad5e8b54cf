"""Portable randomness: one seed gives the same numbers on every device. Needs numpy only.

Bits come from Philox4x64-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11),
whose stream numpy guarantees; its normal sampler it does not, so the transform is our own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cvae_edge.config import require

_WORDS = 4  # 64-bit words that one Philox counter yields
_CHUNK = 1 << 16  # values transformed at a time: what they need stays in the cache


def _raw(seed: int, sample: int, counter: int, words: int) -> NDArray[np.uint64]:
    # numpy advances the counter before it draws, so the first block read is counter + 1.
    philox = np.random.Philox(key=seed | sample << 64, counter=counter)
    bits: NDArray[np.uint64] = philox.random_raw(words)
    return bits


def standard_normal(
    n: int, latent_dim: int, seed: int = 0, start: int = 0, sample: int = 0
) -> NDArray[np.float32]:
    """Draw the noise of images ``start`` to ``start + n - 1`` of a stream.

    Image i owns the Philox counters 1 + i * b to (i + 1) * b with b = ceil(latent_dim / 4), under
    the 128-bit key seed + 2^64 * sample; so its noise is the same alone and in any batch. Each pair
    of words becomes two values u = ((word >> 11) + 0.5) * 2^-53 and, by Box and Muller (1958),
    sqrt(-2 log u1) cos(2 pi u2) and sqrt(-2 log u1) sin(2 pi u2), computed in float64 and rounded.

    Args:
        n: number of images, at least 1.
        latent_dim: values an image.
        seed: the stream, 0 to 2^64 - 1.
        start: index of the first image, 0 or more.
        sample: which of several draws for the same image, 0 to 2^64 - 1.

    Returns:
        float32 of shape (n, latent_dim), standard normal.

    Raises:
        ConfigError: an argument is out of range.
    """
    require(n >= 1, "the number of images must be at least 1", n)
    require(latent_dim >= 1, "latent_dim must be at least 1", latent_dim)
    require(0 <= seed < 2**64, "seed must be in [0, 2^64)", seed)
    require(0 <= sample < 2**64, "sample must be in [0, 2^64)", sample)
    require(start >= 0, "start must be 0 or more", start)
    blocks = -(-latent_dim // _WORDS)
    eps = np.empty((n, latent_dim), np.float32)
    rows = max(1, _CHUNK // (blocks * _WORDS))
    for low in range(0, n, rows):
        count = min(rows, n - low)
        words = _raw(seed, sample, (start + low) * blocks, count * blocks * _WORDS)
        eps[low : low + count] = _box_muller(words).reshape(count, -1)[:, :latent_dim]
    return eps


def _box_muller(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    u = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(u[0::2]))
    angle = 2.0 * np.pi * u[1::2]
    normal = np.empty_like(u)
    np.multiply(radius, np.cos(angle), out=normal[0::2])
    np.multiply(radius, np.sin(angle), out=normal[1::2])
    return normal


def uniform(shape: tuple[int, ...], seed: int = 0, start: int = 0) -> NDArray[np.float32]:
    """Draw one value in (0, 1) for each pixel of images ``start`` onwards of a stream.

    Args:
        shape: (n, ...); image i owns as many Philox counters as its pixels fill, as in
            ``standard_normal``.
        seed: the stream.
        start: index of the first image.

    Returns:
        float32 of ``shape``.
    """
    pixels = int(np.prod(shape[1:]))
    blocks = -(-pixels // _WORDS)
    words = _raw(seed, 0, start * blocks, shape[0] * blocks * _WORDS)
    # 23 bits: with the half added, a float32 still holds them exactly.
    u = ((words >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    return u.reshape(shape[0], -1)[:, :pixels].reshape(shape)


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of ``n`` items in one epoch, a function of (n, seed, epoch) alone.

    The items are sorted by one random word each; numpy's own permutation may change between its
    versions.
    """
    return np.argsort(_raw(seed, epoch, 0, n), kind="stable")
