"""Keras layers that an export is made of: trained weights as constants, and moves of values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cvae_edge.training.model import Weights


def parameters(weights: Weights, layer: str) -> tuple[Any, Any]:
    """Return a layer's kernel and bias."""
    return weights[f"{layer}/kernel"], weights[f"{layer}/bias"]


def _constant(kernel: Any, bias: Any) -> dict[str, Any]:
    return {
        "kernel_initializer": keras.initializers.Constant(np.ascontiguousarray(kernel)),
        "bias_initializer": keras.initializers.Constant(np.ascontiguousarray(bias)),
    }


def dense(name: str, kernel: Any, bias: Any, relu: bool = False) -> Any:
    """Make a dense layer of a kernel (inputs, units)."""
    activation = "relu" if relu else None
    return layers.Dense(
        kernel.shape[1], activation=activation, name=name, **_constant(kernel, bias)
    )


def convolution(
    name: str,
    kernel: Any,
    bias: Any,
    stride: int = 1,
    padding: str = "valid",
    relu: bool = False,
) -> Any:
    """Make a convolution of a kernel (h, w, C_in, C_out)."""
    return layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        stride,
        padding,
        activation="relu" if relu else None,
        name=name,
        **_constant(kernel, bias),
    )


def transposed_convolution(
    name: str, kernel: Any, bias: Any, stride: int, relu: bool = False
) -> Any:
    """Make a transposed convolution of a kernel (h, w, C_out, C_in), padding 'same'."""
    return layers.Conv2DTranspose(
        kernel.shape[2],
        kernel.shape[:2],
        stride,
        "same",
        activation="relu" if relu else None,
        name=name,
        **_constant(kernel, bias),
    )


class Reshape(layers.Layer):  # type: ignore[misc]
    """(n, ...) to (n, *shape) with a constant shape; Keras' own reads n from the input's."""

    def __init__(self, shape: tuple[int, ...], name: str) -> None:
        super().__init__(name=name)
        self._shape = shape

    def call(self, x: Any) -> Any:
        """Reshape one tensor."""
        return tf.reshape(x, (-1, *self._shape))


class DepthToSpace(layers.Layer):  # type: ignore[misc]
    """(n, h, w, b * b * c) to (n, b * h, b * w, c): channel (b * p + q) * c + i to phase (p, q)."""

    def __init__(self, block: int, name: str) -> None:
        super().__init__(name=name)
        self._block = block

    def call(self, x: Any) -> Any:
        """Rearrange one tensor."""
        return tf.nn.depth_to_space(x, self._block)
