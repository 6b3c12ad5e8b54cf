"""From logits to probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOWEST = np.float32(-88)  # exp(88) is about the last below float32's largest number


def sigmoid(x_logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits into probabilities 1 / (1 + exp(-x_logits)), in their own memory."""
    np.maximum(x_logits, _LOWEST, out=x_logits)
    np.negative(x_logits, out=x_logits)
    np.exp(x_logits, out=x_logits)
    x_logits += np.float32(1)
    return np.reciprocal(x_logits, out=x_logits)
