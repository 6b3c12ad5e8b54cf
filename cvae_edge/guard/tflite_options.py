"""What a TFLite operator has: options, inputs and outputs. Stdlib only."""

from __future__ import annotations

from cvae_edge.guard.flatbuffers import Table
from cvae_edge.guard.shapes import Shape, Tensors


def integers(operator: Table, place: int, *more: int) -> list[int]:
    """Return integers of an operator's options, 0 by default."""
    options = operator.table(4)
    return [options.number(p, "i") if options else 0 for p in (place, *more)]


def flag(operator: Table, place: int) -> int:
    """Return a byte of an operator's options, 0 by default."""
    options = operator.table(4)
    return options.number(place, "b") if options else 0


def put(operator: Table, tensors: Tensors, shape: Shape, values: Shape | None = None) -> None:
    """Set the shape of the only output, and perhaps its values."""
    (output,) = operator.numbers(2, "i")
    tensors.put(output, shape, values)


def given(operator: Table, tensors: Tensors) -> list[Shape]:
    """Return the inputs' shapes."""
    return [tensors.shape(i) for i in operator.numbers(1, "i")]
