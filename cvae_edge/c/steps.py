"""Steps: calls of the kernels in export/c, and what they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.c.views import View, merged

MOVE_AXES, BINARY_AXES = 6, 4  # as cvae_kernels.h has them


@dataclass(frozen=True)
class Step:
    """One call: ``function(&options, reads..., writes, scratch)``."""

    function: str
    options: Mapping[str, Any]  # the struct's fields: integers, their lists, or arrays
    reads: tuple[View | NDArray[np.int8], ...]
    writes: View
    struct: str = ""
    extra: tuple[Any, ...] = ()  # further arguments: integers or arrays
    scratch: int | None = None  # bytes beside its tensors; None: it takes none

    @property
    def buffers(self) -> list[int]:
        """What it reads and writes of the arena."""
        return [view.buffer for view in (*self.reads, self.writes) if isinstance(view, View)]


def move(source: View, target: View) -> Step:
    """Return a step that copies a view to another one of the same shape.

    Raises:
        ValueError: it would take too many axes.
    """
    shape = source.shape
    sizes, (taken, put) = merged(shape, source.strides, target.strides)
    if len(sizes) > MOVE_AXES:
        raise ValueError(f"moving values along {len(sizes)} axes has no C kernel")
    options = {
        "size": _front(sizes, MOVE_AXES, 1),
        "from": _front(taken, MOVE_AXES, 0),
        "to": _front(put, MOVE_AXES, 0),
    }
    return Step("cvae_move", options, (source,), target, "cvae_moves")


def fill(target: View, value: int) -> Step:
    """Return a step that sets all of a dense view."""
    count = int(np.prod(target.shape, dtype=np.int64))
    return Step("cvae_fill", {}, (), target, extra=(count, value))


def lookup(source: View, target: View, table: NDArray[np.int8]) -> Step:
    """Return a step that takes each value through a table."""
    count = int(np.prod(source.shape, dtype=np.int64))
    return Step("cvae_lookup", {}, (source,), target, extra=(count, table))


def pair_axes(
    shape: tuple[int, ...], first: tuple[int, ...], second: tuple[int, ...]
) -> dict[str, list[int]]:
    """Return the axes of a step on two tensors; see ``move``."""
    sizes, (a, b) = merged(shape, first, second)
    if len(sizes) > BINARY_AXES:
        raise ValueError(f"two tensors along {len(sizes)} axes have no C kernel")
    return {
        "size": _front(sizes, BINARY_AXES, 1),
        "first": _front(a, BINARY_AXES, 0),
        "second": _front(b, BINARY_AXES, 0),
    }


def _front(values: list[int], length: int, value: int) -> list[int]:
    return [value] * (length - len(values)) + values
