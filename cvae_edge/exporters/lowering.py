"""The decoder's transposed convolutions as plain convolutions and depth-to-space; exact.

**Stride 2.** Keras' Conv2DTranspose(3, stride 2, 'same') adds in[j] * k[a] to output row 2j + a and
keeps rows 0 to 2n - 1. So output row 2j takes tap 0 from row j and tap 2 from row j - 1, and row
2j + 1 takes tap 1 from row j; columns alike. Each output pixel of phase (p, q) = (row mod 2,
column mod 2) is therefore a sum over the same 2x2 window: rows j - 1 and j, columns i - 1 and i.
One 2x2 convolution, with a row of zeros on top and a column of zeros on the left, computes all four
phases as channels (2p + q) * C_out onward, and depth-to-space puts them in place. Every product is
one that the transposed convolution has, the others have a weight of 0: only the order of the sums
differs.

**Stride 1.** Conv2DTranspose(3, stride 1, 'same') is the 3x3 convolution with the kernel turned by
180 degrees. Where depth-to-space comes just before it, it can be folded into the low-resolution
grid: row 2j + p + d lies in row j + floor((p + d) / 2), phase (p + d) mod 2, for d in -1, 0, 1,
which is a 3x3 window of the grid again, from 4 * C_in to 4 * C_out channels. Both grids end in
zeros at the same places. Depth-to-space then moves 4 * C_out channels in place of 4 * C_in.

ReLU works value by value, so it may come before depth-to-space or after it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float32]

# Tap of the 3x3 kernel that output phase p takes from window row w (0: j - 1, 1: j), if any.
_TAPS = {(0, 0): 2, (0, 1): 0, (1, 0): None, (1, 1): 1}


def subpixel_kernel(kernel: Kernel) -> Kernel:
    """Turn a stride-2 transposed kernel into that of the 2x2 convolution before depth-to-space.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (2, 2, C_in, 4 * C_out), for an input with a row of zeros on top and a column on the left.
    """
    _, _, c_out, c_in = kernel.shape
    wide = np.zeros((2, 2, c_in, 2, 2, c_out), np.float32)
    for (p, row), a in _TAPS.items():
        for (q, column), b in _TAPS.items():
            if a is not None and b is not None:
                wide[row, column, :, p, q] = kernel[a, b].T
    return wide.reshape(2, 2, c_in, 4 * c_out)


def convolution_kernel(kernel: Kernel) -> Kernel:
    """Turn a stride-1 transposed kernel (3, 3, C_out, C_in) into a plain (3, 3, C_in, C_out)."""
    return np.ascontiguousarray(kernel[::-1, ::-1].transpose(0, 1, 3, 2))


def folded_kernel(kernel: Kernel) -> Kernel:
    """Move a stride-1 transposed kernel from behind a depth-to-space of block 2 to before it.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (3, 3, 4 * C_in, 4 * C_out), for padding 'same' on the low-resolution grid.
    """
    plain = convolution_kernel(kernel)
    _, _, c_in, c_out = plain.shape
    wide = np.zeros((3, 3, 2, 2, c_in, 2, 2, c_out), np.float32)
    for p in (0, 1):
        for q in (0, 1):
            for a in (0, 1, 2):
                for b in (0, 1, 2):
                    row, row_phase = divmod(p + a - 1, 2)
                    column, column_phase = divmod(q + b - 1, 2)
                    wide[row + 1, column + 1, row_phase, column_phase, :, p, q] = plain[a, b]
    return wide.reshape(3, 3, 4 * c_in, 4 * c_out)


def phases(bias: Kernel) -> Kernel:
    """Repeat a bias (C,) for the four phases, (4 * C,)."""
    return np.tile(bias, 4)
