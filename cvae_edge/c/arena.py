"""Places for buffers in one arena: those that are needed at the same time do not overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

_ALIGNMENT = 4  # bytes: a word at a time may be read


class Life(NamedTuple):
    """A buffer's size in bytes, and the first and the last step that it is needed in."""

    size: int
    first: int
    last: int


def lifetimes(
    used: Sequence[Iterable[int]], inputs: Iterable[int], outputs: Iterable[int],
    size: Callable[[int], int],
) -> dict[int, Life]:  # fmt: skip
    """Return how long each buffer is needed.

    Args:
        used: by step, the buffers that it reads and writes.
        inputs: buffers that are there before the first step.
        outputs: buffers that are there after the last step.
        size: of a buffer, in bytes.
    """
    lives: dict[int, Life] = {}
    for step, buffers in enumerate((inputs, *used, outputs), -1):
        for buffer in buffers:
            first = lives[buffer].first if buffer in lives else step
            lives[buffer] = Life(size(buffer), first, step)
    return lives


def place(buffers: Mapping[int, Life]) -> tuple[dict[int, int], int]:
    """Return each buffer's offset, and the arena's size, in bytes.

    The largest come first, each at the lowest offset that is free while it lives (the greedy by
    size of Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference").
    """
    offsets: dict[int, int] = {}
    order = sorted(buffers, key=lambda b: (-buffers[b].size, buffers[b].first, b))
    for buffer in order:
        life = buffers[buffer]
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].size)
            for other in offsets
            if buffers[other].first <= life.last and life.first <= buffers[other].last
        )
        offset = 0
        for start, end in taken:
            if offset + life.size <= start:
                break
            offset = max(offset, -(-end // _ALIGNMENT) * _ALIGNMENT)
        offsets[buffer] = offset
    return offsets, max((offsets[b] + buffers[b].size for b in buffers), default=0)
