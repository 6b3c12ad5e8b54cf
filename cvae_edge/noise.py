"""Portable randomness: one seed gives the same numbers on every device. Needs numpy only.

Bits come from Philox4x64-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11),
whose stream numpy guarantees; its normal sampler it does not, so the transform is our own.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.model_config import require

_WORDS = 4  # 64-bit words that one Philox counter yields
_DISCARDED = np.uint64(11)  # bits of a word beyond float64's 53
_FEW = 4  # images; noise of larger batches is not drawn ahead
_AHEAD = 1 << 11  # values at most that are drawn before they are asked for
_SEEDS_AHEAD = 16
_CHUNK = 1 << 16  # values transformed at a time: what they need stays in the cache


class _Bits(threading.local):
    """One bit generator a thread: making one for each call would cost more than a call's bits."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(key=0)
        self.place: dict[str, list[int]] = {}  # counter and key
        self.state: Any = {
            "bit_generator": "Philox",
            "state": self.place,
            "buffer": [0] * _WORDS,
            "buffer_pos": _WORDS,  # nothing left in the buffer
            "has_uint32": 0,
            "uinteger": 0,
        }

    def draw(self, seed: int, sample: int, counter: int, words: int) -> NDArray[np.uint64]:
        # numpy advances the counter before it draws, so the first block read is counter + 1.
        self.place["counter"], self.place["key"] = _split(counter, 4), [seed, sample]
        self.philox.state = self.state
        bits: NDArray[np.uint64] = self.philox.random_raw(words)
        return bits


def _split(value: int, words: int) -> list[int]:
    return [value >> 64 * i & 0xFFFFFFFFFFFFFFFF for i in range(words)]


_BITS = _Bits()


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
    require(0 <= start < 2**64, "start must be in [0, 2^64)", start)
    if n > _FEW or n * latent_dim > _AHEAD:
        return _normal(n, latent_dim, seed, start, sample)
    return _RECENT.normal(n, latent_dim, seed, start, sample)


class _Block:
    """Noise for consecutive places on a line: the images of a stream, or one seed after another."""

    def __init__(self) -> None:
        self.line: tuple[int, ...] = ()
        self.first = 0
        self.values: NDArray[np.float32] = np.empty((0, 0), np.float32)

    def fill(self, line: tuple[int, ...], first: int, values: NDArray[np.float32]) -> None:
        self.line, self.first, self.values = line, first, values

    def take(self, line: tuple[int, ...], first: int, n: int) -> NDArray[np.float32] | None:
        """Return a copy of ``n`` places; None where the block has not all of them."""
        offset = first - self.first
        if line != self.line or not 0 <= offset <= len(self.values) - n:
            return None
        values: NDArray[np.float32] = self.values[offset : offset + n]
        return values.copy()

    def ends_before(self, line: tuple[int, ...], first: int) -> bool:
        return line == self.line and first == self.first + len(self.values)


class _Recent(threading.local):
    """The last few images' noise that this thread drew, and the next ones once it goes on.

    For one image the time goes into numpy's twenty calls, not into arithmetic. A caller that takes
    images one by one, along a stream or along seeds, is therefore given them from a block: 7 us
    where drawing takes 34.
    """

    def __init__(self) -> None:
        self.images, self.seeds = _Block(), _Block()

    def normal(
        self, n: int, latent_dim: int, seed: int, start: int, sample: int
    ) -> NDArray[np.float32]:
        stream, batch = (seed, sample, latent_dim), (n, start, sample, latent_dim)
        eps = self.images.take(stream, start, n)
        if eps is not None:
            return eps
        eps = self.seeds.take(batch, seed, 1)
        if eps is not None:
            return eps.reshape(n, latent_dim)
        if self.images.ends_before(stream, start):
            count = max(n, _AHEAD // latent_dim)
            of_images = _normal(count, latent_dim, seed, start, sample)
            self.images.fill(stream, start, of_images)
            return of_images[:n].copy()
        count = 1
        if self.seeds.ends_before(batch, seed):
            count = min(_SEEDS_AHEAD, _AHEAD // (n * latent_dim), 2**64 - seed)
        of_seeds = _of_seeds(range(seed, seed + count), n, latent_dim, start, sample)
        self.seeds.fill(batch, seed, of_seeds)
        first: NDArray[np.float32] = of_seeds[0]
        self.images.fill(stream, start, first)
        return first.copy()


_RECENT = _Recent()


def _normal(n: int, latent_dim: int, seed: int, start: int, sample: int) -> NDArray[np.float32]:
    blocks = -(-latent_dim // _WORDS)
    eps = np.empty((n, latent_dim), np.float32)
    rows = max(1, _CHUNK // (blocks * _WORDS))
    for low in range(0, n, rows):
        count = min(rows, n - low)
        words = _BITS.draw(seed, sample, (start + low) * blocks, count * blocks * _WORDS)
        eps[low : low + count] = _box_muller(words).reshape(count, -1)[:, :latent_dim]
    return eps


def _of_seeds(
    seeds: range, n: int, latent_dim: int, start: int, sample: int
) -> NDArray[np.float32]:
    """Draw the same images' noise under each seed: (seeds, n, latent_dim)."""
    blocks = -(-latent_dim // _WORDS)
    words = [_BITS.draw(s, sample, start * blocks, n * blocks * _WORDS) for s in seeds]
    eps = _box_muller(np.concatenate(words)).reshape(len(seeds), n, -1)[..., :latent_dim]
    return eps.astype(np.float32)


def _box_muller(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    u = (words >> _DISCARDED).astype(np.float64)
    u += 0.5
    u *= 2.0**-53
    normal = np.empty_like(u)
    radius = np.log(u[0::2])
    radius *= -2.0
    np.sqrt(radius, out=radius)
    angle = u[1::2] * (2.0 * np.pi)
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
    words = _BITS.draw(seed, 0, start * blocks, shape[0] * blocks * _WORDS)
    # 23 bits: with the half added, a float32 still holds them exactly.
    u = ((words >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    return u.reshape(shape[0], -1)[:, :pixels].reshape(shape)


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of ``n`` items in one epoch, a function of (n, seed, epoch) alone.

    The items are sorted by one random word each; numpy's own permutation may change between its
    versions.
    """
    return np.argsort(_BITS.draw(seed, epoch, 0, n), kind="stable")
