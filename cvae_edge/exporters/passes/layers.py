"""Keras layers that passes build: weights as constants, and moves of values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

Kernel = NDArray[np.float32]
Pads = tuple[tuple[int, int], tuple[int, int]]  # top, bottom; left, right


def constant(kernel: Any, bias: Any) -> dict[str, Any]:
    """Return the arguments that make a layer of a kernel and a bias."""
    return {
        "kernel_initializer": keras.initializers.Constant(np.ascontiguousarray(kernel)),
        "bias_initializer": keras.initializers.Constant(np.ascontiguousarray(bias)),
    }


def output_axes(layer: Any) -> tuple[int, ...]:
    """Return the axes of a linear layer's kernel that together number its output channels."""
    if isinstance(layer, layers.DepthwiseConv2D):
        return 2, 3
    if isinstance(layer, layers.Conv2DTranspose):
        return (2,)
    return (1,) if isinstance(layer, layers.Dense) else (3,)


def dense(kernel: Kernel, bias: Kernel, activation: Any = None, name: str | None = None) -> Any:
    """Make a dense layer of a kernel (inputs, units)."""
    return layers.Dense(kernel.shape[1], activation=activation, name=name, **constant(kernel, bias))


def convolve(
    h: Any, kernel: Kernel, bias: Kernel, stride: tuple[int, int], pads: Pads, activation: Any
) -> Any:
    """Add a convolution of a kernel (h, w, C_in, C_out) on ``h``, padded with zeros.

    A negative pad cuts. Where the pads are what 'same' means there is no padding layer.
    """
    same = all(
        pad == _same(size, k, s)
        for pad, size, k, s in zip(pads, h.shape[1:3], kernel.shape[:2], stride, strict=True)
    )
    if not same:
        h = crop(h, tuple((max(0, -a), max(0, -b)) for a, b in pads))
        added = tuple((max(0, a), max(0, b)) for a, b in pads)
        h = layers.ZeroPadding2D(added)(h) if any(map(any, added)) else h
    layer = layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        stride,
        "same" if same else "valid",
        activation=activation,
        **constant(kernel, bias),
    )
    return layer(h)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def crop(h: Any, edges: Any) -> Any:
    """Cut rows and columns off (n, h, w, c): ((top, bottom), (left, right))."""
    return layers.Cropping2D(edges)(h) if any(map(any, edges)) else h


class Reshape(layers.Layer):  # type: ignore[misc]
    """``(n, ...)`` to ``(n, *shape)`` of a constant; Keras' own reads n from the input."""

    def __init__(self, shape: tuple[int, ...], name: str | None = None) -> None:
        super().__init__(name=name)
        self.shape = shape

    def call(self, x: Any) -> Any:
        """Reshape one tensor."""
        return tf.reshape(x, (-1, *self.shape))


class DepthToSpace(layers.Layer):  # type: ignore[misc]
    """(n, h, w, b * b * c) to (n, b * h, b * w, c): channel (b * p + q) * c + i to phase (p, q)."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def call(self, x: Any) -> Any:
        """Rearrange one tensor."""
        return tf.nn.depth_to_space(x, self.block)


class FakeQuantize(layers.Layer):  # type: ignore[misc]
    """Rounds to 256 levels from ``low`` to ``high``, between which 0 lies."""

    def __init__(self, low: float, high: float, name: str | None = None) -> None:
        super().__init__(name=name)
        self._low = self.add_weight((), keras.initializers.Constant(low), trainable=False)
        self._high = self.add_weight((), keras.initializers.Constant(high), trainable=False)

    def set_range(self, low: float, high: float) -> None:
        """Change the range, without tracing the network again."""
        self._low.assign(low)
        self._high.assign(high)

    def call(self, x: Any) -> Any:
        """Round one tensor."""
        return tf.quantization.fake_quant_with_min_max_vars(x, self._low, self._high)


def copy(layer: Any, weights: list[Any] | None = None, **changes: Any) -> Any:
    """Return a layer of the same class and weights, for a place in another model.

    Args:
        layer: of any class that can be made from its configuration.
        weights: in place of its own.
        changes: in its configuration.
    """
    config = {**layer.get_config(), "dtype": "float32", **changes}
    new = type(layer).from_config(config)
    if weights is None:
        weights = layer.get_weights()
    if weights:
        built = layer.get_build_config() or {}
        new.build(built["input_shape"]) if "input_shape" in built else new.build_from_config(built)
        new.set_weights(weights)
    return new


def rewrite_linear(layer: Any, kernel: Any, bias: Any, **changes: Any) -> Any:
    """Return a linear layer with another kernel and bias."""
    return copy(layer, [np.asarray(kernel), np.asarray(bias)], use_bias=True, **changes)
