"""What a float graph must compute in C, in numpy: golden values wherever Python runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.c.tflite_graph import Operator, TFLiteGraph

Floats = NDArray[np.float32]


def emulate_floats(graph: TFLiteGraph, inputs: Mapping[str, Floats]) -> dict[str, Floats]:
    """Run a float graph on (n, values) by name, and return its outputs by name, as (n, values).

    Kernels of 8 bits are taken times their scales; sums are of float64.

    Raises:
        ValueError: an operator has no C kernel.
    """
    values: dict[int, NDArray[Any]] = {
        number: inputs[name].astype(np.float64) for name, number in graph.inputs.items()
    }
    for tensor in graph.tensors:
        if tensor.data is not None:
            scales = np.array(tensor.scales or 1.0)
            values[tensor.number] = (tensor.data.T * scales).T if tensor.scales else tensor.data
    for operator in graph.operators:
        if operator.name not in _RULES:
            raise ValueError(f"{operator.name} of floats has no C kernel")
        operands = [values[i] for i in operator.inputs if i >= 0]
        values[operator.outputs[0]] = _RULES[operator.name](operator, *operands)
    return {name: values[number].astype(np.float32) for name, number in graph.outputs.items()}


def _dense(
    operator: Operator, x: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any] | float = 0.0
) -> NDArray[Any]:
    y: NDArray[Any] = x @ kernel.T + bias
    return np.maximum(y, 0) if operator.number(0, "b") else y


def _slice(operator: Operator, x: NDArray[Any], *at: NDArray[Any]) -> NDArray[Any]:
    begin, end, step = (int(values[1]) for values in at)
    first = None if operator.number(0) >> 1 & 1 else begin
    return x[:, slice(first, None if operator.number(1) >> 1 & 1 else end, step)]


_RULES: dict[str, Callable[..., NDArray[Any]]] = {
    "FULLY_CONNECTED": _dense,
    "STRIDED_SLICE": _slice,
    "CONCATENATION": lambda operator, *parts: np.concatenate(parts, axis=1),
    "ADD": lambda operator, a, b: a + b,
    "MUL": lambda operator, a, b: a * b,
    "TANH": lambda operator, x: np.tanh(x),
    "EXP": lambda operator, x: np.exp(x),
}
