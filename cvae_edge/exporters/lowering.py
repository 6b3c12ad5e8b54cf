"""The decoder's transposed convolutions as plain convolutions and depth-to-space; exact.

**Stride 2.** Keras' Conv2DTranspose(3, stride 2, 'same') adds in[j] * k[a] to output row 2j + a and
keeps rows 0 to 2n - 1. So output row 2j takes tap 0 from row j and tap 2 from row j - 1, and row
2j + 1 takes tap 1 from row j; columns alike. The output pixels of each phase (p, q) = (row mod 2,
column mod 2) are therefore a convolution of the input: of 2x2 taps for (0, 0), 2x1 for (0, 1), 1x2
for (1, 0) and 1x1 for (1, 1), with a row of zeros on top where p is 0 and a column of zeros on the
left where q is 0. Depth-to-space puts them in place, from channels (2p + q) * C onward.

- Lowering `polyphase` computes the four convolutions and interleaves them: the transposed
  convolution's nine taps, and no other product.
- Lowering `subpixel` computes them as one 2x2 convolution, whose other taps are 0 (Shi et al. 2016,
  "Is the deconvolution layer the same as a convolutional layer?"): sixteen taps, but fewer
  operators, and never two copies of the result in memory.

**Stride 1.** Conv2DTranspose(3, stride 1, 'same') is the 3x3 convolution with the kernel turned by
180 degrees. The last layer has few output channels, one for a grey image, where a processor
computes 8 or 16 at a time. So 4x4 pixels are computed together, as the 16 * C channels of a 6x6
convolution of stride 4, and depth-to-space puts them in place. For lowering `subpixel` it is folded
into the low-resolution grid, behind which it comes: 8x8 pixels around such a block are a 4x4 window
of the grid's cells, each with four phases as channels.

Lowering `hybrid` is for onnxruntime in floating point, where transposed convolutions are quick if
they are small, and depth-to-space is not: only the last strided layer is computed by phases,
and the stride-1 layer takes those as they are. Its tap d adds row 2j + p, of phase p, to output row
2j + p + d: a transposed convolution of stride 2 with 4x4 taps, p + d + 1 from 0 to 3.

ReLU works value by value, so it may come before depth-to-space or after it.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float32]
Phase = tuple[int, int]  # (output row mod 2, output column mod 2)

BLOCK = 4  # pixels that the last layer computes together, each way
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


def block_kernel(kernel: Kernel) -> Kernel:
    """Make a stride-1 transposed kernel compute blocks of 4x4 output pixels.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (6, 6, C_in, 16 * C_out), for stride 4 and padding 'same', on an input whose height and
        width are multiples of 4; depth-to-space of block 4 follows.
    """
    plain = convolution_kernel(kernel)
    _, _, c_in, c_out = plain.shape
    wide = np.zeros((BLOCK + 2, BLOCK + 2, c_in, BLOCK, BLOCK, c_out), np.float32)
    for s, t in np.ndindex(BLOCK, BLOCK):
        wide[s : s + 3, t : t + 3, :, s, t] = plain
    return wide.reshape(BLOCK + 2, BLOCK + 2, c_in, BLOCK * BLOCK * c_out)


def gathering_kernel(kernel: Kernel) -> Kernel:
    """Make a stride-1 transposed kernel take the phases of its input as channels.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (4, 4, C_out, 4 * C_in), for a transposed convolution of stride 2 and padding 'same'.
    """
    _, _, c_out, c_in = kernel.shape
    wide = np.zeros((4, 4, c_out, 2, 2, c_in), np.float32)
    for p, q in product(_TAPS, _TAPS):
        wide[p : p + 3, q : q + 3, :, p, q] = kernel
    return wide.reshape(4, 4, c_out, 4 * c_in)


def folded_kernel(kernel: Kernel) -> Kernel:
    """Move ``block_kernel`` from behind a depth-to-space of block 2 to before it.

    Args:
        kernel: (3, 3, C_out, C_in), Keras' layout for transposed convolutions.

    Returns:
        (4, 4, 4 * C_in, 16 * C_out), for stride 2 and padding 'same' on the low-resolution grid,
        whose height and width are even; depth-to-space of block 4 follows.
    """
    block = np.pad(block_kernel(kernel), ((1, 1), (1, 1), (0, 0), (0, 0)))  # (8, 8, C_in, C)
    _, _, c_in, channels = block.shape
    cells = block.reshape(4, 2, 4, 2, c_in, channels).transpose(0, 2, 1, 3, 4, 5)
    return np.ascontiguousarray(cells.reshape(4, 4, 4 * c_in, channels))
