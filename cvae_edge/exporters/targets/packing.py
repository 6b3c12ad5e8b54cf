"""Kernels of 4 bits: two values a byte, the first in the lower half, as ONNX and TFLite have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INT4_LEVELS = 7  # kernels go from -7 to 7


def pack(integers: NDArray[Any]) -> NDArray[np.uint8]:
    """Return signed integers of 4 bits, any shape, as bytes."""
    flat = np.append(integers.ravel(), np.zeros(integers.size % 2, integers.dtype))
    halves = flat.astype(np.int8).view(np.uint8) & 15
    return (halves[0::2] | halves[1::2] << 4).astype(np.uint8)
