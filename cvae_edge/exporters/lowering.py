"""The decoder's transposed convolutions as plain convolutions and depth-to-space; exact.

**Stride 2.** Keras' Conv2DTranspose(3, stride 2, 'same') adds in[j] * k[a] to output row 2j + a and
keeps rows 0 to 2n - 1. So output row 2j takes tap 0 from row j and tap 2 from row j - 1, and row
2j + 1 takes tap 1 from row j; columns alike. The output pixels of each phase (p, q) = (row mod 2,
column mod 2) are therefore a convolution of the input: of 2x2 taps for (0, 0), 2x1 for (0, 1), 1x2
for (1, 0) and 1x1 for (1, 1), with a row of zeros on top where p is 0 and a column of zeros on the
left where q is 0. Depth-to-space puts them in place, from channels (2p + q) * C onward.

- Lowering `polyphase` computes the four convolutions and concatenates them: the transposed
  convolution's nine taps, and no other product.
- Lowering `subpixel` computes them as one 2x2 convolution, whose other taps are 0 (Shi et al. 2016,
  "Is the deconvolution layer the same as a convolutional layer?"): sixteen taps, but fewer
  operators, and no two copies of the result in memory.

**Stride 1.** Conv2DTranspose(3, stride 1, 'same') is the 3x3 convolution with the kernel turned by
180 degrees. Where depth-to-space comes just before it, it can be folded into the low-resolution
grid, so that depth-to-space moves few channels. It has few output channels, one for a grey image,
where a processor computes 8 or 16 at a time; so it takes 2x2 cells of the grid at once, which are
4x4 pixels. Row s of those, and the tap d of -1, 0, 1, meet in cell row floor((s + d) / 2) from -1
to 2, phase (s + d) mod 2: a 4x4 convolution of stride 2, with a border of zeros, from 4 * C_in to
16 * C_out channels. Both grids end in zeros at the same places.

ReLU works value by value, so it may come before depth-to-space or after it.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float32]
Phase = tuple[int, int]  # (output row mod 2, output column mod 2)

BLOCK = 4  # pixels that the folded layer computes together, each way
_TAPS = {0: (2, 0), 1: (1,)}  # of a phase, in the order of the rows they meet: j - 1, j; or j


def phase_kernels(kernel: Kernel) -> dict[Phase, Kernel]:
    """Split a stride-2 transposed kernel into the plain kernels of its output's phases.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        By phase (p, q), in depth-to-space's order: (2 - p, 2 - q, C_in, C_out), for an input with a
        row of zeros on top where p is 0, and a column on the left where q is 0.
    """
    return {
        (p, q): np.ascontiguousarray(kernel[np.ix_(_TAPS[p], _TAPS[q])].transpose(0, 1, 3, 2))
        for p, q in product(_TAPS, _TAPS)
    }


def subpixel_kernel(kernel: Kernel) -> Kernel:
    """Put the phases' kernels side by side, as one kernel with taps of 0 where a phase has none.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (2, 2, C_in, 4 * C_out), for an input with a row of zeros on top and a column on the left.
    """
    _, _, c_out, c_in = kernel.shape
    wide = np.zeros((2, 2, c_in, 2, 2, c_out), np.float32)
    for (p, q), part in phase_kernels(kernel).items():
        wide[p:, q:, :, p, q] = part
    return wide.reshape(2, 2, c_in, 4 * c_out)


def convolution_kernel(kernel: Kernel) -> Kernel:
    """Turn a stride-1 transposed kernel (3, 3, C_out, C_in) into a plain (3, 3, C_in, C_out)."""
    return np.ascontiguousarray(kernel[::-1, ::-1].transpose(0, 1, 3, 2))


def folded_kernel(kernel: Kernel) -> Kernel:
    """Move a stride-1 transposed kernel from behind a depth-to-space of block 2 to before it.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (4, 4, 4 * C_in, 16 * C_out), for stride 2 and padding 'same' on the low-resolution grid,
        whose height and width are even; depth-to-space of block 4 follows.
    """
    plain = convolution_kernel(kernel)
    _, _, c_in, c_out = plain.shape
    wide = np.zeros((4, 4, 2, 2, c_in, BLOCK, BLOCK, c_out), np.float32)
    for (s, t), (a, b) in product(np.ndindex(BLOCK, BLOCK), np.ndindex(3, 3)):
        row, p = divmod(s + a - 1, 2)
        column, q = divmod(t + b - 1, 2)
        wide[row + 1, column + 1, p, q, :, s, t] = plain[a, b]
    return wide.reshape(4, 4, 4 * c_in, BLOCK * BLOCK * c_out)
