"""Operators that take values one by one, as arrays of what they give for each of 256 integers.

Whatever chain of them stands behind a tensor of int8, floating point in its middle included, is
one table of 256 results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.c.integers import (
    Multiplier,
    activation_range,
    clipped,
    dequantized,
    multiplier,
    quantized,
    round_away,
    scaled,
)
from cvae_edge.c.tflite_graph import Operator, Tensor

Values = NDArray[Any]  # (256,), int8 or float32
_PLACES = 20  # by which TFLite shifts what it adds


def evaluate(
    operator: Operator, inputs: Sequence[Tensor], output: Tensor, values: Sequence[Values]
) -> Values | None:
    """Return what an operator gives for its inputs' values; None if it is not pointwise."""
    kinds = {v.dtype.type for v in values}
    if operator.name == "QUANTIZE":
        return _quantize(inputs[0], output, values[0])
    if operator.name == "DEQUANTIZE":
        return dequantized(values[0], inputs[0].scale, inputs[0].zero_point)
    if kinds == {np.float32}:
        function = _FLOAT.get(operator.name)
        return None if function is None else function(operator, *values)
    rule = _INTEGER.get(operator.name)
    return None if rule is None else rule(operator, inputs, output, values)


def _quantize(x: Tensor, y: Tensor, values: Values) -> Values:
    if values.dtype == np.float32:
        return quantized(values, y.scale, y.zero_point)
    by = multiplier(x.scale / y.scale)
    return clipped(scaled(values.astype(np.int64) - x.zero_point, by) + y.zero_point)


def _table(
    function: Callable[[Operator, NDArray[np.float32]], NDArray[np.float32]],
) -> Callable[..., Values]:
    """Return what computes a function in floating point and rounds (LUTPopulate)."""

    def rule(
        operator: Operator, inputs: Sequence[Tensor], output: Tensor, values: Sequence[Values]
    ) -> Values:
        real = function(operator, dequantized(values[0], inputs[0].scale, inputs[0].zero_point))
        inverse = np.float32(1) / np.float32(output.scale)
        return clipped(round_away(real * inverse).astype(np.int64) + output.zero_point)

    return rule


def _relu(
    operator: Operator, inputs: Sequence[Tensor], output: Tensor, values: Sequence[Values]
) -> Values:
    code = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}[operator.name]
    by = multiplier(float(np.float32(inputs[0].scale) / np.float32(output.scale)))
    y = scaled(values[0].astype(np.int64) - inputs[0].zero_point, by) + output.zero_point
    return clipped(y, *activation_range(code, output.scale, output.zero_point))


def _leaky_relu(
    operator: Operator, inputs: Sequence[Tensor], output: Tensor, values: Sequence[Values]
) -> Values:
    alpha = np.float32(operator.number(0, "f"))
    x_scale, y_scale = np.float32(inputs[0].scale), np.float32(output.scale)
    x = values[0].astype(np.int64) - inputs[0].zero_point
    kept = scaled(x, multiplier(float(x_scale / y_scale)))
    leaked = scaled(x, multiplier(float(x_scale * alpha / y_scale)))
    return clipped(np.where(x >= 0, kept, leaked) + output.zero_point)


def add_multipliers(a: Tensor, b: Tensor, y: Tensor) -> tuple[Multiplier, Multiplier, Multiplier]:
    """Return the factors of two summands and of their sum (add.cc)."""
    twice = 2 * max(a.scale, b.scale)
    first, second = (multiplier(t.scale / twice) for t in (a, b))
    return first, second, multiplier(twice / ((1 << _PLACES) * y.scale))


def product_multiplier(a: Tensor, b: Tensor, y: Tensor) -> Multiplier:
    """Return the factor of a product (mul.cc)."""
    return multiplier(float(np.float32(a.scale) * np.float32(b.scale) / np.float32(y.scale)))


def _add(
    operator: Operator, inputs: Sequence[Tensor], output: Tensor, values: Sequence[Values]
) -> Values:
    *factors, last = add_multipliers(inputs[0], inputs[1], output)
    parts = [
        scaled((v.astype(np.int64) - t.zero_point) << _PLACES, by)
        for v, t, by in zip(values, inputs, factors, strict=True)
    ]
    y = scaled(parts[0] + parts[1], last) + output.zero_point
    return clipped(y, *activation_range(operator.number(0, "b"), output.scale, output.zero_point))


def _multiply(
    operator: Operator, inputs: Sequence[Tensor], output: Tensor, values: Sequence[Values]
) -> Values:
    a, b = (v.astype(np.int64) - t.zero_point for v, t in zip(values, inputs, strict=True))
    y = scaled(a * b, product_multiplier(inputs[0], inputs[1], output)) + output.zero_point
    return clipped(y, *activation_range(operator.number(0, "b"), output.scale, output.zero_point))


def _logistic(operator: Operator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def _tanh(operator: Operator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.tanh(x.astype(np.float64)).astype(np.float32)


def _elu(operator: Operator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(x < 0, np.expm1(x.astype(np.float64)), x).astype(np.float32)


def _gelu(operator: Operator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    d = x.astype(np.float64)
    if operator.number(0, "b"):
        inner = np.tanh(math.sqrt(2 / math.pi) * (d + 0.044715 * d**3))
    else:
        inner = np.array([math.erf(v / math.sqrt(2)) for v in d])
    y: NDArray[np.float32] = (0.5 * d * (1 + inner)).astype(np.float32)
    return y


def _hard_swish(operator: Operator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    y: NDArray[np.float32] = x * np.clip(x + np.float32(3), 0, 6) / np.float32(6)
    return y


def _float_relu(operator: Operator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = {"RELU": (0, np.inf), "RELU_N1_TO_1": (-1, 1), "RELU6": (0, 6)}[operator.name]
    y: NDArray[np.float32] = np.clip(x, np.float32(low), np.float32(high))
    return y


_FLOAT: dict[str, Callable[..., Values]] = {
    "ELU": _elu, "GELU": _gelu, "LOGISTIC": _logistic, "TANH": _tanh, "HARD_SWISH": _hard_swish,
    "RELU": _float_relu, "RELU_N1_TO_1": _float_relu, "RELU6": _float_relu,
}  # fmt: skip
_INTEGER: dict[str, Callable[..., Values | None]] = {
    "ADD": _add, "MUL": _multiply, "LEAKY_RELU": _leaky_relu,
    "RELU": _relu, "RELU_N1_TO_1": _relu, "RELU6": _relu,
    "ELU": _table(_elu), "GELU": _table(_gelu),
    "LOGISTIC": _table(_logistic), "TANH": _table(_tanh),
}  # fmt: skip
