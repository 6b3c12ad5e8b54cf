"""TFLite's integer arithmetic, for what is computed when C is written; arrays of int64.

Formulas are those of TensorFlow Lite's kernels/internal (common.h, quantization_util.cc).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -128, 127
_RELU, _RELU_N1_TO_1, _RELU6 = 1, 2, 3  # ActivationFunctionType


class Multiplier(NamedTuple):
    """A real factor, integer * 2^(shift - 31)."""

    integer: int
    shift: int


def multiplier(real: float) -> Multiplier:
    """Return a factor in 31 bits (QuantizeMultiplier)."""
    if real == 0.0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(real)
    integer = math.floor(fraction * 2.0**31 + 0.5)
    if integer == 1 << 31:
        integer, shift = 1 << 30, shift + 1
    return Multiplier(0, 0) if shift < -31 else Multiplier(integer, shift)


def scaled(x: NDArray[Any], by: Multiplier) -> NDArray[np.int64]:
    """Return x times a factor, rounded twice (MultiplyByQuantizedMultiplier)."""
    product = (x.astype(np.int64) << max(by.shift, 0)) * by.integer
    high = _divided(product + np.where(product >= 0, 1 << 30, 1 - (1 << 30)), 1 << 31)
    return shifted(high, max(-by.shift, 0))


def scaled_once(x: NDArray[Any], by: Multiplier) -> NDArray[np.int64]:
    """Return x times a factor, rounded once, halves upwards; so LiteRT has it in dense layers."""
    right = 31 - by.shift
    rounded: NDArray[np.int64] = (x.astype(np.int64) * by.integer + (1 << (right - 1))) >> right
    return rounded


def shifted(x: NDArray[np.int64], right: int) -> NDArray[np.int64]:
    """Return x / 2^right, rounded to the nearest and halves away from 0 (RoundingDivideByPOT)."""
    mask = (1 << right) - 1
    rounded: NDArray[np.int64] = (x >> right) + ((x & mask) > (mask >> 1) + (x < 0))
    return rounded


def clipped(x: NDArray[Any], lowest: int = LOWEST, highest: int = HIGHEST) -> NDArray[np.int8]:
    """Return int8."""
    integers: NDArray[np.int8] = np.clip(x, lowest, highest).astype(np.int8)
    return integers


def round_away(x: NDArray[Any]) -> NDArray[Any]:
    """Round to the nearest, halves away from 0, as C's round does."""
    rounded: NDArray[Any] = np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x)
    return rounded


def quantized(x: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Return float32 values as int8 (AffineQuantize)."""
    return clipped(round_away(x / np.float32(scale)).astype(np.int64) + zero_point)


def dequantized(x: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    """Return int8 values as float32 (Dequantize)."""
    real: NDArray[np.float32] = np.float32(scale) * (x.astype(np.int64) - zero_point).astype(
        np.float32
    )
    return real


def activation_range(function: int, scale: float, zero_point: int) -> tuple[int, int]:
    """Return the integers that a fused activation leaves (CalculateActivationRangeQuantized).

    Raises:
        ValueError: a function that TFLite does not fuse into integer kernels.
    """

    def integer(real: float) -> int:
        ratio = np.array([real], np.float32) / np.float32(scale)
        return zero_point + int(round_away(ratio)[0])

    ranges = {
        0: (LOWEST, HIGHEST),
        _RELU: (integer(0.0), HIGHEST),
        _RELU_N1_TO_1: (integer(-1.0), integer(1.0)),
        _RELU6: (integer(0.0), integer(6.0)),
    }
    if function not in ranges:
        raise ValueError(f"the fused activation {function} has no C kernel")
    lowest, highest = ranges[function]
    return max(LOWEST, lowest), min(HIGHEST, highest)


def _divided(x: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    """Divide as C does, towards 0."""
    quotient: NDArray[np.int64] = np.sign(x) * (np.abs(x) // by)
    return quotient
