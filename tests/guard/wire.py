"""Writes the few fields of ONNX files that tests of hostile ones need."""

from __future__ import annotations

import numpy as np


def varint(value: int) -> bytes:
    value %= 2**64
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    kinds = {"float32": 1, "int64": 7}
    dims = b"".join(field(1, size) for size in values.shape)
    kind = field(2, kinds[values.dtype.name])
    return dims + kind + field(8, name) + field(9, values.tobytes())


def attribute(name: str, value: int | list[int] | bytes) -> bytes:
    if isinstance(value, bytes):  # a graph
        return field(1, name) + field(6, value)
    many = isinstance(value, list)
    return field(1, name) + (b"".join(field(8, v) for v in value) if many else field(3, value))


def node(op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes) -> bytes:
    names = b"".join(field(1, name) for name in inputs)
    names += b"".join(field(2, name) for name in outputs)
    others = b"".join(field(5, attribute(name, value)) for name, value in attributes.items())
    return names + field(4, op) + others + (field(7, domain) if domain else b"")


def graph(
    nodes: list[bytes], constants: list[bytes] = (), shape: tuple[int, ...] = (0, 4)
) -> bytes:
    dims = b"".join(field(1, field(1, size) if size else field(2, "n")) for size in shape)
    x = field(1, "z") + field(2, field(1, field(1, 1) + field(2, dims)))
    return (
        b"".join(field(1, one) for one in nodes)
        + b"".join(field(5, one) for one in constants)
        + field(11, x)
    )


def model(nodes: list[bytes], constants: list[bytes] = (), shape=(0, 4)) -> bytes:
    return field(1, 8) + field(7, graph(nodes, constants, shape)) + field(8, field(2, 17))
