"""TFLite operators that move a window over an image. Stdlib only; see ``tflite_operators``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cvae_edge.guard import shapes
from cvae_edge.guard.flatbuffers import Table
from cvae_edge.guard.shapes import Shape, Tensors
from cvae_edge.guard.tflite_options import flag, given, integers, put

_SAME_PADDING = 0


def _windows(
    operator: Table, x: Shape, kernel: Sequence[int], dilated: tuple[int, int] | None
) -> Shape:
    """Return height and width behind a window; all options begin with padding and strides."""
    width, height = integers(operator, 1, 2)
    options = operator.table(4)
    dilations = [options.number(p, "i", 1) if options else 1 for p in dilated or ()] or [1, 1]
    pads = None if flag(operator, 0) == _SAME_PADDING else 0
    return (
        shapes.window(x[1], kernel[0], height, dilations[1], pads),
        shapes.window(x[2], kernel[1], width, dilations[0], pads),
    )


def _conv(operator: Table, tensors: Tensors) -> None:
    x, weights = given(operator, tensors)[:2]  # weights are (out, height, width, in)
    result = (x[0], *_windows(operator, x, weights[1:3], (4, 5)), weights[0])
    tensors.spend(math.prod(result) * math.prod(weights[1:]))
    put(operator, tensors, result)


def _depthwise(operator: Table, tensors: Tensors) -> None:
    x, weights = given(operator, tensors)[:2]  # weights are (1, height, width, out)
    result = (x[0], *_windows(operator, x, weights[1:3], (5, 6)), weights[3])
    tensors.spend(math.prod(result) * math.prod(weights[1:3]))
    put(operator, tensors, result)


def _conv_3d(operator: Table, tensors: Tensors) -> None:
    x, weights = given(operator, tensors)[:2]  # weights are (depth, height, width, in, out)
    pads = None if flag(operator, 0) == _SAME_PADDING else 0
    strides, options = integers(operator, 1, 3, 2), operator.table(4)
    dilations = [options.number(p, "i", 1) if options else 1 for p in (5, 7, 6)]
    sizes = zip(x[1:4], weights[:3], strides, dilations, strict=True)
    result = (x[0], *(shapes.window(*four, pads) for four in sizes), weights[4])
    tensors.spend(math.prod(result) * math.prod(weights[:4]))
    put(operator, tensors, result)


def _conv_transpose(operator: Table, tensors: Tensors) -> None:
    wanted, weights, x = operator.numbers(1, "i")[:3]
    tensors.spend(math.prod(tensors.shape(x)) * math.prod(tensors.shape(weights)[:3]))
    put(operator, tensors, tensors.values(wanted))


def _pool(operator: Table, tensors: Tensors) -> None:
    x = given(operator, tensors)[0]
    kernel = integers(operator, 4, 3)
    result = (x[0], *_windows(operator, x, kernel, None), x[3])
    tensors.spend(math.prod(result) * math.prod(kernel))
    put(operator, tensors, result)


WINDOWS: dict[int, Callable[[Table, Tensors], None]] = {
    **dict.fromkeys((1, 12, 17), _pool),  # AVERAGE_POOL_2D L2_POOL_2D MAX_POOL_2D
    3: _conv,
    4: _depthwise,
    132: _conv_3d,
    67: _conv_transpose,
}
