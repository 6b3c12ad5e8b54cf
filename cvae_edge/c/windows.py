"""Steps of operators that move a window over an image: convolutions, dense layers, pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cvae_edge.c.integers import Multiplier, activation_range, multiplier
from cvae_edge.c.steps import Step
from cvae_edge.c.tflite_graph import Operator, Tensor
from cvae_edge.c.views import View

_SAME = 0  # Padding
_LARGEST_INPUT = 255  # of an int8 value less its zero point


class Pads(NamedTuple):
    """Rows and columns of zeros that a window sees around an image."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0


def conv(operator: Operator, tensors: Sequence[Tensor], pads: Pads, x: View, y: View) -> Step:
    """Return a convolution's step; ``tensors`` are its inputs and its output."""
    image, kernel, *bias, output = tensors
    _, kernel_h, kernel_w, _ = kernel.shape
    fields = _window(operator, image, output, (kernel_h, kernel_w), (4, 5), pads)
    fields |= _linear(operator.number(3, "b"), image, kernel, bias, output, axis=0, y=y)
    plain = (kernel_h, kernel_w) == (1, 1) and fields["stride_h"] == fields["stride_w"] == 1
    plain &= fields["pad_top"] == fields["pad_left"] == 0
    plain &= (fields["in_h"], fields["in_w"]) == (fields["out_h"], fields["out_w"])
    scratch = 0 if plain else kernel_h * kernel_w * kernel.shape[3]
    return Step("cvae_conv2d", fields, (x,), y, "cvae_conv", scratch=scratch)


def depthwise(operator: Operator, tensors: Sequence[Tensor], pads: Pads, x: View, y: View) -> Step:
    """Return a depthwise convolution's step."""
    image, kernel, *bias, output = tensors
    fields = _window(operator, image, output, kernel.shape[1:3], (5, 6), pads)
    fields |= _linear(operator.number(4, "b"), image, kernel, bias, output, axis=3, y=y)
    return Step("cvae_depthwise", fields, (x,), y, "cvae_conv")


def transposed(operator: Operator, tensors: Sequence[Tensor], pads: Pads, x: View, y: View) -> Step:
    """Return a transposed convolution's step: a window over its output, as TFLite pads it."""
    _, kernel, image, *bias, output = tensors
    swapped = _window(operator, output, image, kernel.shape[1:3], None, Pads())
    fields = {
        **swapped,
        **{f"in_{a}": n for a, n in zip("hwc", image.shape[1:], strict=True)},
        **{f"out_{a}": n for a, n in zip("hwc", output.shape[1:], strict=True)},
    }
    fields |= _linear(operator.number(3, "b"), image, kernel, bias, output, axis=0, y=y)
    return Step("cvae_conv2d_transposed", fields, (x,), y, "cvae_conv")


def dense(operator: Operator, tensors: Sequence[Tensor], pads: Pads, x: View, y: View) -> Step:
    """Return a dense layer's step: a convolution of 1x1 over a row of vectors."""
    vectors, kernel, *bias, output = tensors
    channels, n = kernel.shape
    rows = vectors.count // n
    fields: dict[str, Any] = dict.fromkeys(
        ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1
    )
    fields |= {"in_h": 1, "in_w": rows, "in_c": n, "out_h": 1, "out_w": rows, "out_c": channels}
    fields |= {"pad_top": 0, "pad_left": 0}
    as_image = y.reshaped((1, 1, rows, channels))
    if as_image is None:
        raise ValueError("a dense layer's output must lie in one piece")
    fields |= _linear(operator.number(0, "b"), vectors, kernel, bias, output, 0, as_image)
    return Step("cvae_conv2d", fields, (x,), y, "cvae_conv", scratch=0)


def pool(operator: Operator, tensors: Sequence[Tensor], pads: Pads, x: View, y: View) -> Step:
    """Return a pool's step."""
    image, output = tensors
    kernel = operator.number(4), operator.number(3)
    fields = _window(operator, image, output, kernel, None, pads)
    lowest, highest = activation_range(operator.number(5, "b"), output.scale, output.zero_point)
    names = ("in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w")
    options = {name: fields[name] for name in (*names, "pad_top", "pad_left")}
    options |= {"channels": image.shape[3], "lowest": lowest, "highest": highest}
    function = "cvae_max_pool" if operator.name == "MAX_POOL_2D" else "cvae_average_pool"
    return Step(function, options, (x,), y, "cvae_pool")


def _window(
    operator: Operator,
    image: Tensor,
    output: Tensor,
    kernel: Sequence[int],
    dilations: tuple[int, int] | None,
    pads: Pads,
) -> dict[str, Any]:
    """Return the fields of a window; all options begin with padding and strides."""
    if image.shape[0] != 1 or len(image.shape) != 4:
        raise ValueError(f"{operator.name} must take one image, got {image.shape}")
    strides = operator.number(2), operator.number(1)
    w, h = (operator.number(p, "i", 1) for p in dilations or ()) if dilations else (1, 1)
    sizes = image.shape[1] + pads.top + pads.bottom, image.shape[2] + pads.left + pads.right
    same = [0, 0]
    if operator.number(0, "b") == _SAME:
        rows = zip(sizes, kernel, strides, (h, w), strict=True)
        same = [
            max(0, (-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size) // 2
            for size, k, stride, dilation in rows
        ]
    return {
        **{f"in_{a}": n for a, n in zip("hwc", image.shape[1:], strict=True)},
        **{f"out_{a}": n for a, n in zip("hwc", output.shape[1:], strict=True)},
        "kernel_h": kernel[0], "kernel_w": kernel[1],
        "stride_h": strides[0], "stride_w": strides[1], "dilation_h": h, "dilation_w": w,
        "pad_top": same[0] + pads.top, "pad_left": same[1] + pads.left,
    }  # fmt: skip


def _linear(
    activation: int,
    x: Tensor,
    kernel: Tensor,
    biases: Sequence[Tensor],
    output: Tensor,
    axis: int,
    y: View,
) -> dict[str, Any]:
    """Return the fields of a kernel's numbers, and of where its output goes."""
    if kernel.data is None or kernel.dtype != np.int8 or any(b.data is None for b in biases):
        raise ValueError("kernels and biases must be constants, int8 and int32")
    weights, bias = kernel.data, biases[0].data if biases else None
    channels = kernel.shape[axis]
    axes = tuple(i for i in range(weights.ndim) if i != axis)
    sums = np.abs(weights.astype(np.int64)).sum(axis=axes) * _LARGEST_INPUT
    if bias is not None:
        sums = sums + np.abs(bias.astype(np.int64))
    lowest, highest = activation_range(activation, output.scale, output.zero_point)
    factors = _multipliers(x, kernel, output, axis)
    if (sums * np.array([2.0 ** max(0, f.shift) for f in factors])).max() >= 1 << 31:
        raise ValueError("a layer's sums must fit into 32 bits")
    return {
        "out_c": channels,
        "out_row": y.strides[1], "out_pixel": y.strides[2],
        "in_offset": -x.zero_point, "out_offset": output.zero_point,
        "lowest": lowest, "highest": highest, "step": int(len(factors) > 1),
        "rounds": 1 if weights.ndim == 2 else 2,
        "weights": weights, "bias": bias,
        "multiplier": np.array([f.integer for f in factors], np.int32),
        "shift": np.array([f.shift for f in factors], np.int8),
    }  # fmt: skip


def _multipliers(x: Tensor, kernel: Tensor, y: Tensor, axis: int) -> list[Multiplier]:
    """Return a factor for each channel, or one; a dense layer's one is made in float32."""
    if len(kernel.scales) == 1 and len(kernel.shape) == 2:
        product = float(np.float32(x.scale) * np.float32(kernel.scale))
        return [multiplier(product / y.scale)]
    if len(kernel.scales) not in (1, kernel.shape[axis]):
        raise ValueError("a kernel must have one scale, or one for each output channel")
    return [multiplier(x.scale * scale / y.scale) for scale in kernel.scales]
