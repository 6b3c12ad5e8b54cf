"""Layers that enlarge images, or could, as taps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers

from cvae_edge.exporters.passes.layers import Kernel, convolve
from cvae_edge.exporters.passes.packed import Packed, Upsampled
from cvae_edge.exporters.passes.taps import Axis, Window, wide_kernel, window

LANES = 16  # channels that a processor computes at a time
_LARGEST = 8  # pixels of a block, each way
_GAIN = 0.6  # share of the products that blocks must come down to


@dataclass(frozen=True)
class Linear:
    """A layer as taps."""

    kernel: Kernel  # (h, w, C_in, C_out)
    bias: Kernel
    rows: Axis
    columns: Axis
    activation: Any

    @property
    def scale(self) -> tuple[int, int]:
        """Outputs for each input, along height and width."""
        return self.rows.scale, self.columns.scale

    @property
    def few(self) -> bool:
        """Whether its output channels leave most of a register empty."""
        return bool(self.kernel.shape[-1] <= LANES // 4)

    def products(self, rows: Window, columns: Window) -> float:
        """Products for each pixel of a convolution of blocks, in full registers."""
        outputs = len(rows.taps) * len(columns.taps)
        lanes = -(-outputs * self.kernel.shape[-1] // LANES) * LANES
        return float(rows.size * columns.size * lanes / outputs)

    def blocks(self, block: int, cell: int = 1) -> tuple[Window, Window]:
        """Return the windows of blocks of ``block`` x ``block`` pixels."""
        outputs = list(range(block))
        return window(self.rows, outputs, block, cell), window(self.columns, outputs, block, cell)

    def phases(self) -> list[tuple[Window, Window]]:
        """Return the windows of every phase, in depth-to-space's order."""
        s, t = self.scale
        columns = [window(self.columns, [q], t) for q in range(t)]
        return [(window(self.rows, [p], s), c) for p in range(s) for c in columns]

    def convolve(self, x: Any, rows: Window, columns: Window, cell: int = 1) -> Any:
        """Add the plain convolution that two windows describe."""
        return convolve(
            x,
            wide_kernel(self.kernel, rows, columns, cell),
            np.tile(self.bias, len(rows.taps) * len(columns.taps)),
            (rows.stride, columns.stride),
            (rows.pads, columns.pads),
            self.activation,
        )

    def best_block(self, products: float) -> int | None:
        """Return the block that takes fewest products, if that is much less than ``products``."""
        s = self.rows.scale
        sizes = [s * n for n in (1, 2, 4) if 1 < s * n <= _LARGEST]
        costs = {block: self.products(*self.blocks(block)) for block in sizes}
        best = min(costs, key=lambda block: costs[block], default=None)
        return best if best is not None and costs[best] <= _GAIN * products else None


def linear_of(layer: Any, x: Any) -> Linear | None:
    """Return a layer that takes ``x`` as taps; None for one that is not lowered."""
    transposed = isinstance(layer, layers.Conv2DTranspose)
    if not transposed and not (type(layer) is layers.Conv2D and layer.groups == 1):
        return None
    if not transposed and layer.strides != (1, 1):
        return None
    up = x.call.layer.size if isinstance(x, Upsampled) else (1, 1)
    kernel = np.asarray(layer.kernel)
    sizes = zip(_shape(x), _shape_out(layer, x), layer.kernel_size, strict=True)
    axes = []
    for i, (size_in, size_out, k) in enumerate(sizes):
        d, s = layer.dilation_rate[i], layer.strides[i]
        span = (k - 1) * d + 1
        if transposed:
            shift = _cropped(size_in, size_out, span, s, layer.padding)
            axes.append(Axis(size_in, size_out, k, s, d, shift, transposed=True))
        else:
            pad = (span - 1) // 2 if layer.padding == "same" else 0
            axes.append(Axis(size_in // up[i], size_out, k, up[i], d, pad))
    kernel = kernel.transpose(0, 1, 3, 2) if transposed else kernel
    if transposed and layer.strides == (
        1,
        1,
    ):  # a convolution with the kernel turned by 180 degrees
        kernel = kernel[::-1, ::-1]
        axes = [
            a._replace(shift=(a.kernel - 1) * a.dilation - a.shift, transposed=False) for a in axes
        ]
    return Linear(kernel, np.asarray(layer.bias), axes[0], axes[1], layer.activation)


def _cropped(size_in: int, size_out: int, span: int, stride: int, padding: str) -> int:
    """Return how many outputs a transposed convolution cuts off in front.

    TensorFlow takes it for the gradient of a convolution of its outputs, padded as that would be.
    """
    if padding == "valid":
        return 0
    return max(0, (size_in - 1) * stride + span - size_out) // 2


def _shape(x: Any) -> tuple[int, int]:
    if isinstance(x, Packed):
        return x.size
    h, w = (x.call.output if isinstance(x, Upsampled) else x).shape[1:3]
    return h, w


def _shape_out(layer: Any, x: Any) -> tuple[int, int]:
    h, w = layer.compute_output_shape((None, *_shape(x), layer.input_spec.axes[-1]))[1:3]
    return h, w
