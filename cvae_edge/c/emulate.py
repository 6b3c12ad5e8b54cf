"""What the C code must compute, in numpy: golden integers wherever Python runs.

Written from TFLite's definitions and not from the C, so that each checks the other. One image at a
time; float64 holds the sums exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.c.integers import (
    Multiplier,
    activation_range,
    clipped,
    multiplier,
    scaled,
    scaled_once,
)
from cvae_edge.c.pointwise import evaluate
from cvae_edge.c.simplify import RESHAPE, TABLE, IntegerGraph, Node
from cvae_edge.c.tflite_graph import Operator, Tensor

Integers = NDArray[np.int8]


def emulate(graph: IntegerGraph, inputs: Mapping[str, Integers]) -> dict[str, Integers]:
    """Run a graph on int8 inputs by name and return its int8 outputs.

    Raises:
        ValueError: an operator has no C kernel.
    """
    values: dict[int, Integers] = {
        number: inputs[name].reshape(graph.tensors[number].shape)
        for name, number in graph.inputs.items()
    }
    for node in graph.nodes:
        values[node.output] = _run(node, graph.tensors, values)
    return {name: values[number] for name, number in graph.outputs.items()}


def _run(node: Node, tensors: Sequence[Tensor], values: Mapping[int, Integers]) -> Integers:
    output = tensors[node.output]
    if node.name == TABLE:
        taken: Integers = node.table[values[node.inputs[0]].astype(np.int64) + 128]
        return taken.reshape(output.shape)
    if node.name == RESHAPE:
        return values[node.inputs[0]].reshape(output.shape)
    operands = [tensors[i] for i in node.inputs if i >= 0]
    arrays = [values.get(t.number, t.data) for t in operands]
    rule = _RULES.get(node.name)
    if rule is None:
        raise ValueError(f"{node.name} has no C kernel")
    result: Integers = rule(node.operator, operands, output, arrays)
    return result.reshape(output.shape)


def _window(
    operator: Operator, x: NDArray[Any], out: Sequence[int], kernel: Sequence[int],
    dilations: tuple[int, int] | None, outside: float,
) -> list[NDArray[Any]]:  # fmt: skip
    """Return, for each tap, what it sees from every place of the output: (h, w, channels)."""
    strides = operator.number(2), operator.number(1)
    w, h = (operator.number(p, "i", 1) for p in dilations) if dilations else (1, 1)
    extent = [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(out[1:3], strides, kernel, (h, w), strict=True)
    ]
    pads = []
    for size, needed in zip(x.shape[1:3], extent, strict=True):
        total = max(0, needed - size) if operator.number(0, "b") == 0 else 0
        pads.append((total // 2, max(0, needed - size) - total // 2))
    image = np.pad(x[0], (*pads, (0, 0)), constant_values=outside)
    return [
        image[i * h :: strides[0], j * w :: strides[1]][: out[1], : out[2]]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _finish(
    sums: NDArray[Any], tensors: Sequence[Tensor], x: Tensor, output: Tensor, activation: int
) -> Integers:
    """Return a linear layer's output, of its sums over (..., channels)."""
    kernel, *bias = tensors
    sums = sums.astype(np.int64)
    if bias and bias[0].data is not None:
        sums = sums + bias[0].data
    rounded = scaled_once if len(kernel.shape) == 2 else scaled
    product = [float(np.float32(x.scale) * np.float32(s)) for s in kernel.scales]
    if len(kernel.scales) > 1 or len(kernel.shape) != 2:
        product = [x.scale * s for s in kernel.scales]
    y = np.empty_like(sums)
    for channel in range(sums.shape[-1]):
        by = multiplier(product[channel % len(product)] / output.scale)
        y[..., channel] = rounded(sums[..., channel], by)
    limits = activation_range(activation, output.scale, output.zero_point)
    return clipped(y + output.zero_point, *limits)


def _conv(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    x = v[0].astype(np.float64) - t[0].zero_point
    taps = _window(operator, x, y.shape, t[1].shape[1:3], (4, 5), 0)
    weights = v[1].astype(np.float64).reshape(v[1].shape[0], len(taps), -1)
    sums = sum(tap @ weights[:, k].T for k, tap in enumerate(taps))
    return _finish(np.asarray(sums), t[1:], t[0], y, operator.number(3, "b"))


def _depthwise(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    x = v[0].astype(np.float64) - t[0].zero_point
    x = x.repeat(y.shape[3] // x.shape[3], axis=3)
    taps = _window(operator, x, y.shape, t[1].shape[1:3], (5, 6), 0)
    weights = v[1].astype(np.float64).reshape(len(taps), -1)
    sums = sum(tap * weights[k] for k, tap in enumerate(taps))
    return _finish(np.asarray(sums), t[1:], t[0], y, operator.number(4, "b"))


def _dense(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    x = v[0].reshape(-1, v[1].shape[1]).astype(np.float64) - t[0].zero_point
    sums = x @ v[1].astype(np.float64).T
    return _finish(sums, t[1:], t[0], y, operator.number(0, "b"))


def _transposed(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    _, kernel, image, *_ = t
    x = v[2][0].astype(np.float64) - image.zero_point
    strides = operator.number(2), operator.number(1)
    h, w = kernel.shape[1:3]
    whole = np.zeros(
        ((x.shape[0] - 1) * strides[0] + h, (x.shape[1] - 1) * strides[1] + w, y.shape[3])
    )
    for i in range(h):
        for j in range(w):
            rows, columns = (
                slice(i, i + (x.shape[0] - 1) * strides[0] + 1, strides[0]),
                slice(j, j + (x.shape[1] - 1) * strides[1] + 1, strides[1]),
            )
            whole[rows, columns] += x @ v[1][:, i, j].astype(np.float64).T
    top, left = (
        max(0, n - out) // 2 if operator.number(0, "b") == 0 else 0
        for n, out in zip(whole.shape[:2], y.shape[1:3], strict=True)
    )
    sums = np.zeros(y.shape[1:])
    part = whole[top : top + y.shape[1], left : left + y.shape[2]]
    sums[: part.shape[0], : part.shape[1]] = part
    return _finish(sums, (kernel, *t[3:]), image, y, operator.number(3, "b"))


def _pool(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    kernel = operator.number(4), operator.number(3)
    x = v[0].astype(np.float64)
    taps = np.stack(_window(operator, x, y.shape, kernel, None, np.nan))
    if operator.name == "MAX_POOL_2D":
        values = np.nanmax(taps, axis=0)
    else:
        sums, counts = np.nansum(taps, axis=0), (~np.isnan(taps)).sum(axis=0)
        values = np.trunc((sums + np.sign(sums) * (counts // 2)) / counts)
    return clipped(values, *activation_range(operator.number(5, "b"), y.scale, y.zero_point))


def _mean(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    axes = tuple(int(a) for a in v[1].ravel())
    n = int(np.prod([v[0].shape[a] for a in axes]))
    by = multiplier(t[0].scale / y.scale)
    shift = min(n.bit_length() - 1, 32, 31 + by.shift)
    by = Multiplier((by.integer << shift) // n, by.shift - shift)
    sums = (v[0].astype(np.int64) - t[0].zero_point).sum(axis=axes)
    return clipped(scaled(sums, by) + y.zero_point)


def _pair(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    result = evaluate(operator, t, y, np.broadcast_arrays(*v))
    if result is None:
        raise ValueError(f"{operator.name} has no C kernel")
    return result


def _strided_slice(
    operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]
) -> Integers:
    parts = []
    for i, (begin, end, step) in enumerate(zip(*(w.tolist() for w in v[1:4]), strict=True)):
        first = None if operator.number(0) >> i & 1 else begin
        parts.append(slice(first, None if operator.number(1) >> i & 1 else end, step))
    part: Integers = v[0][tuple(parts)]
    return part


def _slice(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    starts = zip(v[1].tolist(), y.shape, strict=True)
    part: Integers = v[0][tuple(slice(start, start + size) for start, size in starts)]
    return part


def _blocks(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    b = operator.number(0)
    _, h, w, c = v[0].shape
    if operator.name == "DEPTH_TO_SPACE":
        return v[0].reshape(h, w, b, b, -1).transpose(0, 2, 1, 3, 4)  # type: ignore[no-any-return]
    return v[0].reshape(h // b, b, w // b, b, c).transpose(0, 2, 1, 3, 4)  # type: ignore[no-any-return]


def _nearest(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    _, h, w, _ = v[0].shape
    enlarged: Integers = v[0].repeat(y.shape[1] // h, axis=1).repeat(y.shape[2] // w, axis=2)
    return enlarged


def _bilinear(operator: Operator, t: Sequence[Tensor], y: Tensor, v: Sequence[Any]) -> Integers:
    def axis(size: int, wanted: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        aligned = operator.number(2, "b") and wanted > 1
        less = int(bool(aligned))
        scale = (1024 * (size - less) + (wanted - less) // 2) // (wanted - less)
        at = np.arange(wanted) * scale
        at += scale // 2 - 512 if operator.number(3, "b") else 0
        low = np.maximum(np.trunc(at / 1024), 0).astype(np.int64)
        high = np.minimum(np.trunc((at + 1023) / 1024), size - 1).astype(np.int64)
        return low, high, at - 1024 * low

    image = v[0][0].astype(np.int64)
    top, bottom, down = axis(image.shape[0], y.shape[1])
    left, right, along = axis(image.shape[1], y.shape[2])
    down, along = down[:, np.newaxis, np.newaxis], along[:, np.newaxis]
    upper = image[top][:, left] * (1024 - along) + image[top][:, right] * along
    lower = image[bottom][:, left] * (1024 - along) + image[bottom][:, right] * along
    sums = upper * (1024 - down) + lower * down
    halves = np.where(sums > 0, 1 << 19, -(1 << 19))
    enlarged: Integers = np.trunc((sums + halves) / (1 << 20)).astype(np.int8)
    return enlarged


_RULES: dict[str, Callable[..., Any]] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense,
    "TRANSPOSE_CONV": _transposed, "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "MEAN": _mean,
    "ADD": _pair, "MUL": _pair,
    "PAD": lambda operator, t, y, v: np.pad(v[0], v[1].tolist(), constant_values=y.zero_point),
    "CONCATENATION": lambda operator, t, y, v: np.concatenate(v, axis=operator.number(0)),
    "STRIDED_SLICE": _strided_slice, "SLICE": _slice,
    "TRANSPOSE": lambda operator, t, y, v: v[0].transpose(v[1].tolist()),
    "TILE": lambda operator, t, y, v: np.tile(v[0], v[1].tolist()),
    "DEPTH_TO_SPACE": _blocks, "SPACE_TO_DEPTH": _blocks,
    "RESIZE_NEAREST_NEIGHBOR": _nearest, "RESIZE_BILINEAR": _bilinear,
}  # fmt: skip
