"""Convolutions that enlarge, as sums over taps: which input each output pixel takes, by which tap.

Along one axis every linear layer that a decoder enlarges images with is out[i] = sum of
in[j] * kernel[a] over pairs (a, j), and depends on i only by its phase, i mod s, and its place,
i div s. With i = s * m + r:

- a transposed convolution of stride s, dilation d, whose first ``crop`` outputs are cut off, has
  i + crop = s * j + a * d: tap a where s divides r + crop - a * d, then j = m + that / s;
- a convolution of dilation d behind nearest upsampling by s, padded with ``pad`` zeros, has
  j = (i + a * d - pad) div s = m + (r + a * d - pad) div s, for every a;
- a convolution alone is the latter with s = 1.

So the outputs of any block of pixels, B a multiple of s, are a plain convolution of the input, of
stride B / s, with the pixels of the block as its channels (Shi et al. 2016, "Is the deconvolution
layer the same as a convolutional layer?"), and those of one phase are one of stride 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cvae_edge.exporters.passes.layers import Kernel

Tap = tuple[int, int, int]  # (tap a, offset of the input's cell, phase within the cell)


class Axis(NamedTuple):
    """One axis of a layer: how its outputs take its inputs."""

    size_in: int
    size_out: int
    kernel: int
    scale: int = 1  # s, outputs for each input
    dilation: int = 1
    shift: int = 0  # crop of a transposed convolution, pad of a plain one
    transposed: bool = False

    def taps(self, r: int, cell: int = 1) -> list[Tap]:
        """Return the taps of output ``r`` counted from the first of its block.

        Args:
            r: the output.
            cell: inputs that are packed in one cell, as channels; 1 where each is its own.
        """
        found = []
        for a in range(self.kernel):
            if self.transposed:
                j, rest = divmod(r + self.shift - a * self.dilation, self.scale)
                if rest:
                    continue
            else:
                j = (r + a * self.dilation - self.shift) // self.scale
            found.append((a, j // cell, j % cell))
        return found


class Window(NamedTuple):
    """One axis of the plain convolution that computes some outputs."""

    size: int  # taps
    stride: int
    pads: tuple[int, int]
    taps: list[list[Tap]]  # by output: offsets count from the window's first cell


def window(axis: Axis, outputs: list[int], block: int, cell: int = 1) -> Window:
    """Return the window that ``outputs`` of every block of ``block`` pixels take.

    Args:
        axis: of the layer.
        outputs: of a block, counted from its first.
        block: pixels; a multiple of ``axis.scale * cell``.
        cell: inputs in one cell.
    """
    taps = [axis.taps(r, cell) for r in outputs]
    offsets = [offset for of_output in taps for _, offset, _ in of_output] or [0]
    low, size = min(offsets), max(offsets) - min(offsets) + 1
    stride = block // (axis.scale * cell)
    blocks = -(-axis.size_out // block)
    end = (blocks - 1) * stride + low + size  # of the last block's window
    shifted = [[(a, offset - low, phase) for a, offset, phase in t] for t in taps]
    return Window(size, stride, (-low, end - axis.size_in // cell), shifted)


def wide_kernel(kernel: Kernel, rows: Window, columns: Window, cell: int = 1) -> Kernel:
    """Return the kernel of the plain convolution that two windows describe.

    Args:
        kernel: (h, w, C_in, C_out).
        rows: the window along height.
        columns: the window along width.
        cell: inputs in a cell, each way.

    Returns:
        (rows.size, columns.size, cell * cell * C_in, outputs * C_out), in depth-to-space's order.
    """
    _, _, c_in, c_out = kernel.shape
    outputs = len(rows.taps), len(columns.taps)
    wide = np.zeros((rows.size, columns.size, cell, cell, c_in, *outputs, c_out), np.float32)
    for s, row_taps in enumerate(rows.taps):
        for t, column_taps in enumerate(columns.taps):
            for a, i, p in row_taps:
                for b, j, q in column_taps:
                    wide[i, j, p, q, :, s, t] += kernel[a, b]
    return wide.reshape(rows.size, columns.size, cell * cell * c_in, -1)
