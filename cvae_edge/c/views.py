"""Where tensors lie: a part of a buffer, with the distance between neighbours on each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class View(NamedTuple):
    """A tensor's place in a buffer; offsets and strides are in bytes, and so in values."""

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_dense(self) -> bool:
        """Whether its values lie side by side."""
        return all(
            size == 1 or stride == dense
            for size, stride, dense in zip(
                self.shape, self.strides, dense_strides(self.shape), strict=True
            )
        )

    def part(self, axis: int, start: int, size: int) -> View:
        """Return the view of a part of an axis."""
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        return View(self.buffer, self.offset + start * self.strides[axis], shape, self.strides)

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """Return the same values under another shape; None where no strides can say so."""
        old = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n != 1]
        strides: list[int] = []
        for size in reversed(shape):
            if size == 1:
                strides.append(0)
                continue
            taken, (n, stride) = 1, old.pop() if old else (1, 0)
            first = stride
            while True:  # axes of the old shape that this one covers
                if n > size // taken:  # the rest of the old axis is left to the next
                    rest = size // taken
                    if n % rest:
                        return None
                    old.append((n // rest, stride * rest))
                    break
                taken *= n
                if taken == size:
                    break
                outer, above = old.pop()
                if size % taken or above != stride * n:
                    return None
                n, stride = outer, above
            strides.append(first)
        return View(self.buffer, self.offset, tuple(shape), tuple(reversed(strides)))


def dense(buffer: int, shape: Sequence[int]) -> View:
    """Return the view of a whole buffer."""
    return View(buffer, 0, tuple(shape), dense_strides(shape))


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of values that lie side by side."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def merged(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Return the fewest axes that visit the same values in the same order.

    Args:
        shape: of all views.
        strides: of each view.
    """
    sizes: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        here = [s[axis] for s in strides]
        if sizes and all(k[-1] == h * size for k, h in zip(kept, here, strict=True)):
            sizes[-1] *= size
            for k, h in zip(kept, here, strict=True):
                k[-1] = h
        else:
            sizes.append(size)
            for k, h in zip(kept, here, strict=True):
                k.append(h)
    return sizes, kept
