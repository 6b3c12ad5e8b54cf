"""TFLite files, looked at before an engine opens them. Nothing is run; stdlib only.

Fields' places and operators' numbers are those of TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

import math
import struct
from typing import Literal, overload

from cvae_edge.guard.flatbuffers import Table
from cvae_edge.guard.shapes import BATCH, MAX_VALUES, Tensors
from cvae_edge.model_config import ModelShape

MAX_NODES = 4096
_MARK = b"TFL3"
_PLACEHOLDER = 127  # operators above it have their number in another field
# Bits a value by TensorType.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 9: 8, 10: 64, 12: 64, 15: 32, 16: 16, 17: 4}
_INTEGERS = {2: "i", 4: "q"}  # types that shapes are given in


@overload
def check_tflite(
    content: bytes, model: ModelShape, trusted: Literal[False], batch: int = BATCH
) -> Tensors: ...


@overload
def check_tflite(
    content: bytes, model: ModelShape, trusted: bool, batch: int = BATCH
) -> Tensors | None: ...


def check_tflite(
    content: bytes, model: ModelShape, trusted: bool, batch: int = BATCH
) -> Tensors | None:
    """Return the tensors of a harmless file, None for a trusted one; no file may name another.

    Their shapes are those of ``batch`` images.

    Raises:
        ValueError, IndexError, and others: it is damaged, or may do harm.
    """
    from cvae_edge.guard.tflite_operators import OPERATORS

    data = memoryview(content)
    if content[4:8] != _MARK:
        raise ValueError("it must be a TFLite file")
    root = Table.root(data)
    if root.tables(8) or root.tables(9):
        raise ValueError("its constants must be in it, got one in another file")
    if trusted:
        return None
    graphs = root.tables(2)
    if len(graphs) != 1:
        raise ValueError(f"it must hold one graph alone, got {len(graphs)}")
    (graph,) = graphs
    operators = graph.tables(3)
    if len(operators) > MAX_NODES:
        raise ValueError(f"it must have at most {MAX_NODES} operators, got {len(operators)}")
    made = {i for operator in operators for i in operator.numbers(2, "i")}
    tensors = Tensors(model)
    _put_given(graph, root.tables(4), data, made, tensors, batch)
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in root.tables(1)]
    for operator in operators:
        place = operator.number(0, "I")
        code = codes[place] if place < len(codes) else -1
        if code not in OPERATORS:
            raise ValueError(f"the operator {code} is not one that is known to be harmless")
        OPERATORS[code](operator, tensors)
    return tensors


def _put_given(
    graph: Table,
    buffers: list[Table],
    data: memoryview,
    made: set[int],
    tensors: Tensors,
    batch: int,
) -> None:
    """Put the tensors that no operator makes: inputs, and constants that are all there."""
    tensors.put(-1, ())  # an input that is left out
    inputs = set(graph.numbers(1, "i"))
    for number, tensor in enumerate(graph.tables(0)):
        shape = tensor.numbers(0, "i")
        if tensor.number(5, "?") or tensor.table(6) or tensor.number(10, "I"):
            raise ValueError("its tensors must be plain, got a variable, sparse or external one")
        if number in inputs:
            tensors.put(number, shape and (batch, *shape[1:]))
        elif number not in made:
            kind = tensor.number(1, "b")
            there = buffer_of(buffers, tensor, data)
            count = math.prod(shape)
            bits = 8 * len(there)
            if kind not in _BITS or min(shape, default=0) < 0 or count * _BITS[kind] > bits:
                raise ValueError(f"a constant must be {shape} numbers, got {len(there)} bytes")
            values = None
            if kind in _INTEGERS and count <= MAX_VALUES:
                values = struct.unpack_from(f"<{count}{_INTEGERS[kind]}", there)
            tensors.put(number, shape, values)


def buffer_of(buffers: list[Table], tensor: Table, data: memoryview) -> memoryview:
    """Return the bytes of a constant tensor."""
    place = tensor.number(2, "I")
    if place >= len(buffers):
        raise ValueError("a tensor must have a buffer")
    offset, size = buffers[place].number(1, "Q"), buffers[place].number(2, "Q")
    return data[offset : offset + size] if offset > 1 else buffers[place].bytes(0)
