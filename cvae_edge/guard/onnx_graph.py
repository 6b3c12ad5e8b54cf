"""ONNX files as graphs of plain values. Nothing is run; stdlib only.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import NamedTuple

from cvae_edge.guard.protobuf import Message
from cvae_edge.guard.shapes import MAX_VALUES

_ORT_MARK = b"ORTM"  # of onnxruntime's own format, which it would recognize
_DOMAINS = ("", "ai.onnx")
_EXTERNAL = 1
# Fields of an attribute: graphs, sparse tensors, types, references, several tensors.
_GRAPHS = frozenset((6, 10, 11, 14, 15, 21, 22, 23))
# Bits a value and the field that has it where raw_data has none, by TensorProto.DataType.
_TYPES = {1: (32, 4), 2: (8, 5), 3: (8, 5), 4: (16, 5), 5: (16, 5), 6: (32, 5), 7: (64, 7),
          9: (8, 5), 10: (16, 5), 11: (64, 10), 12: (32, 11), 13: (64, 11), 16: (16, 5),
          21: (4, 5), 22: (4, 5)}  # fmt: skip
_FLOAT = 1
_SIZES = {_FLOAT: "f", 6: "i", 7: "q"}  # types that shapes and scales are given in
Value = int | str | list[int]


class Node(NamedTuple):
    """One operator of a graph; ``tensors`` are the constants in its attributes."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: Mapping[str, Value]
    tensors: Mapping[str, Message]

    @property
    def output(self) -> str:
        """The only output."""
        if [name for name in self.outputs[1:] if name]:
            raise ValueError(f"{self.op} must have one output")
        return self.outputs[0]

    def integer(self, name: str, default: int) -> int:
        """Return an attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"{name} must be an integer")
        return value

    def numbers(self, name: str, default: list[int]) -> list[int]:
        """Return an attribute of as many integers as the default has, or of any number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, list) or (default and len(value) < len(default)):
            raise ValueError(f"{name} must be {len(default)} integers")
        return value


class Graph(NamedTuple):
    """What is looked at of a file."""

    nodes: list[Node]
    constants: list[Message]  # TensorProto
    inputs: dict[str, list[int]]  # shapes; 0 is free


def read_graph(content: bytes) -> Graph:
    """Read an ONNX file of standard operators that needs no other file.

    Raises:
        ValueError, IndexError: it is damaged, or holds something else.
    """
    if content[4:8] == _ORT_MARK:
        raise ValueError("it must be an ONNX file, got onnxruntime's own format")
    model = Message(memoryview(content))
    if 25 in model or 20 in model:
        raise ValueError("it must hold one graph alone, got functions or training")
    graph = model.message(7)
    if 15 in graph:
        raise ValueError("its constants must be dense")
    constants = [*graph.messages(5)]
    nodes = [_node(node) for node in graph.messages(1)]
    for tensor in (*constants, *(t for node in nodes for t in node.tensors.values())):
        if 13 in tensor or tensor.integer(14) == _EXTERNAL:
            raise ValueError("its constants must be in it, got one in another file")
    return Graph(nodes, constants, dict(map(_input, graph.messages(11))))


def read_tensor(tensor: Message) -> tuple[list[int], list[int] | None]:
    """Return the shape of a constant, all of whose values must be there, and a few values."""
    shape, kind = tensor.integers(1), tensor.integer(2)
    if kind not in _TYPES or min(shape, default=0) < 0:
        raise ValueError(f"a constant must hold numbers, got the type {kind} and {shape[:8]}")
    bits, field = _TYPES[kind]
    raw, count = tensor.bytes(9), math.prod(shape)
    there = 8 * len(raw) // bits if 9 in tensor else tensor.size(field)
    if count > there:
        raise ValueError(f"a constant must have {count} values, got {there}")
    if kind not in _SIZES or count > MAX_VALUES:
        return shape, None
    if kind != _FLOAT and 9 not in tensor:
        return shape, tensor.integers(field)[:count]
    raw = raw if 9 in tensor else tensor.joined(field)
    return shape, [*struct.unpack_from(f"<{count}{_SIZES[kind]}", raw)]


def _node(node: Message) -> Node:
    op = node.text(4)
    if node.text(7) not in _DOMAINS:
        raise ValueError(f"its operators must be ONNX's own, got {node.text(7)[:40]}.{op[:40]}")
    attributes: dict[str, Value] = {}
    tensors: dict[str, Message] = {}
    for attribute in node.messages(5):
        name = attribute.text(1)
        if attribute.has_any(_GRAPHS):
            raise ValueError(f"an operator must hold no graph of its own, got {op[:40]}")
        if name in attributes or name in tensors:
            raise ValueError(f"an operator must have {name[:40]} once")
        if 5 in attribute:
            tensors[name] = attribute.message(5)
        elif 8 in attribute:
            attributes[name] = attribute.integers(8)
        elif 4 in attribute:
            attributes[name] = attribute.text(4)
        else:
            attributes[name] = attribute.integer(3)
    return Node(op, node.texts(1), node.texts(2), attributes, tensors)


def _input(value: Message) -> tuple[str, list[int]]:
    shape = value.message(2).message(1).message(2)
    return value.text(1), [dimension.integer(1) for dimension in shape.messages(1)]
