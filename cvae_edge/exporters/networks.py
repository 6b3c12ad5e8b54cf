"""The trained networks as Keras models in the shape that exports best; each is exact.

- mean and logvar are two dense layers, not slices of one: no slicing, and each has its own scale
  when it is quantized.
- The decoder's transposed convolutions are lowered where asked; see ``lowering``.
- Where channels come first (ONNX), flattening orders the dense layer's weights to match, so that no
  transposition is left in the graph.
- Reshapes leave the batch free and need no shape arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cvae_edge.config import ModelConfig
from cvae_edge.exporters.lowering import (
    BLOCK,
    block_kernel,
    folded_kernel,
    phase_kernels,
    subpixel_kernel,
)
from cvae_edge.training.elbo import reparameterize
from cvae_edge.training.model import Weights

Lowering = Literal["transposed", "subpixel", "polyphase"]
Layout = Literal["channels_first", "channels_last"]  # of the file's runtime
# Called with the name and the value of every activation that a quantized graph stores as integers.
Mark = Callable[[str, Any], Any]


def unmarked(name: str, value: Any) -> Any:
    """Leave an activation as it is."""
    return value


def encoder_network(
    config: ModelConfig, weights: Weights, layout: Layout, mark: Mark = unmarked
) -> keras.Model:
    """x (n, h, w, c) -> {"mean", "logvar"}, each (n, latent_dim)."""
    x = keras.Input(config.image_shape, name="x")
    outputs = encode(x, config, weights, layout, mark)
    return keras.Model({"x": x}, outputs, name="encoder")


def decoder_network(
    config: ModelConfig,
    weights: Weights,
    layout: Layout,
    lowering: Lowering,
    mark: Mark = unmarked,
) -> keras.Model:
    """z (n, latent_dim) -> {"x_logits"}, (n, h, w, c)."""
    z = keras.Input((config.latent_dim,), name="z")
    x_logits = decode(z, config, weights, layout, lowering, mark)
    return keras.Model({"z": z}, {"x_logits": x_logits}, name="decoder")


def reconstruct_network(
    config: ModelConfig,
    weights: Weights,
    layout: Layout,
    lowering: Lowering,
    mark: Mark = unmarked,
) -> keras.Model:
    """x (n, h, w, c) and eps (n, latent_dim) -> {"x_recon"}, (n, h, w, c), in one graph."""
    x = keras.Input(config.image_shape, name="x")
    eps = keras.Input((config.latent_dim,), name="eps")
    posterior = encode(x, config, weights, layout, mark)
    z = Sample(name="z")([posterior["mean"], posterior["logvar"], eps])
    x_logits = decode(z, config, weights, layout, lowering, mark)
    x_recon = layers.Activation("sigmoid", name="x_recon")(x_logits)
    return keras.Model({"x": x, "eps": eps}, {"x_recon": x_recon}, name="reconstruct")


def encode(x: Any, config: ModelConfig, weights: Weights, layout: Layout, mark: Mark) -> Any:
    """Add the encoder's layers to the graph that ``x`` is of."""
    h = mark("x", x)
    for i in range(1, len(config.encoder_filters) + 1):
        kernel, bias = _parameters(weights, f"encoder/conv_{i}")
        h = _convolution(f"conv_{i}", kernel, bias, stride=2, relu=True)(h)
        h = mark(f"conv_{i}", h)
    h, kernel = _flatten(h, weights["encoder/posterior/kernel"], layout)
    bias, d = weights["encoder/posterior/bias"], config.latent_dim
    return {
        name: mark(name, _dense(name, kernel[:, part], bias[part])(h))
        for name, part in (("mean", slice(None, d)), ("logvar", slice(d, None)))
    }


def decode(
    z: Any, config: ModelConfig, weights: Weights, layout: Layout, lowering: Lowering, mark: Mark
) -> Any:
    """Add the decoder's layers to the graph that ``z`` is of."""
    h = mark("z", z)
    kernel, bias = _parameters(weights, "decoder/grid")
    h = _grid(h, kernel, bias, config.grid_shape, layout)
    h = mark("grid", h)
    add = {"transposed": _transposed, "subpixel": _subpixel, "polyphase": _polyphase}[lowering]
    return mark("x_logits", add(h, config, weights, mark))


def _transposed(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    for i, filters in enumerate(config.decoder_filters, 1):
        kernel, bias = _parameters(weights, f"decoder/conv_{i}")
        h = layers.Conv2DTranspose(
            filters, 3, 2, "same", activation="relu", name=f"up_{i}", **_constant(kernel, bias)
        )(h)
        h = mark(f"up_{i}", h)
    kernel, bias = _parameters(weights, "decoder/x_logits")
    channels = config.image_shape[2]
    return layers.Conv2DTranspose(
        channels, 3, 1, "same", name="x_logits", **_constant(kernel, bias)
    )(h)


def _subpixel(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    last = len(config.decoder_filters)
    for i in range(1, last + 1):
        kernel, bias = _parameters(weights, f"decoder/conv_{i}")
        kernel, bias = subpixel_kernel(kernel), np.tile(bias, 4)
        h = layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"pad_{i}")(h)
        h = mark(f"up_{i}", _convolution(f"up_{i}", kernel, bias, relu=True)(h))
        if i < last:
            h = DepthToSpace(2, name=f"shuffle_{i}")(h)
    kernel, bias = _parameters(weights, "decoder/x_logits")
    return _blocks(h, folded_kernel(kernel), bias, stride=BLOCK // 2)


def _polyphase(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    for i in range(1, len(config.decoder_filters) + 1):
        kernel, bias = _parameters(weights, f"decoder/conv_{i}")
        phases = []
        for (p, q), part in phase_kernels(kernel).items():
            place, above, left = f"up_{i}_{p}{q}", 1 - p, 1 - q
            pad = layers.ZeroPadding2D(((above, 0), (left, 0)), name=f"pad_{place}")
            padded = pad(h) if above or left else h
            phases.append(_convolution(place, part, bias, relu=True)(padded))
        h = mark(f"up_{i}", _interleave(f"up_{i}", phases))
    kernel, bias = _parameters(weights, "decoder/x_logits")
    return _blocks(h, block_kernel(kernel), bias, stride=BLOCK)


def _blocks(h: Any, kernel: Any, bias: Any, stride: int) -> Any:
    bias = np.tile(bias, BLOCK * BLOCK)
    h = _convolution("blocks", kernel, bias, stride, padding="same")(h)
    return DepthToSpace(BLOCK, name="x_logits")(h)


def _interleave(name: str, phases: list[Any]) -> Any:
    """Put four phases (n, h, w, c) in place, (n, 2h, 2w, c).

    Side by side in memory, two pixels' channels are the pixels of a row twice as long, and two rows
    are rows of an image twice as high: this joins long runs of bytes, where onnxruntime's
    DepthToSpace moves one value at a time.
    """
    height, width, channels = phases[0].shape[1:]
    rows = []
    for p in (0, 1):
        pair = layers.Concatenate(name=f"row_{name}_{p}")(phases[2 * p : 2 * p + 2])
        rows.append(Reshape((height, 2 * width * channels), name=f"long_{name}_{p}")(pair))
    both = layers.Concatenate(name=f"rows_{name}")(rows)
    return Reshape((2 * height, 2 * width, channels), name=name)(both)


def _parameters(weights: Weights, layer: str) -> tuple[Any, Any]:
    return weights[f"{layer}/kernel"], weights[f"{layer}/bias"]


def _constant(kernel: Any, bias: Any) -> dict[str, Any]:
    return {
        "kernel_initializer": keras.initializers.Constant(np.ascontiguousarray(kernel)),
        "bias_initializer": keras.initializers.Constant(np.ascontiguousarray(bias)),
    }


def _dense(name: str, kernel: Any, bias: Any, relu: bool = False) -> Any:
    activation = "relu" if relu else None
    return layers.Dense(
        kernel.shape[1], activation=activation, name=name, **_constant(kernel, bias)
    )


def _convolution(
    name: str,
    kernel: Any,
    bias: Any,
    stride: int = 1,
    padding: str = "valid",
    relu: bool = False,
) -> Any:
    return layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        stride,
        padding,
        activation="relu" if relu else None,
        name=name,
        **_constant(kernel, bias),
    )


def _flatten(h: Any, kernel: Any, layout: Layout) -> tuple[Any, Any]:
    """Flatten (n, h, w, c), and order the next kernel's rows as the layout has the values."""
    height, width, channels = h.shape[1:]
    if layout == "channels_first":
        h = layers.Permute((3, 1, 2), name="to_channels_first")(h)
        kernel = kernel.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
    size = height * width * channels
    return Reshape((size,), name="flatten")(h), kernel.reshape(size, -1)


def _grid(z: Any, kernel: Any, bias: Any, shape: tuple[int, int, int], layout: Layout) -> Any:
    """The decoder's dense layer, and its values as a grid (n, h, w, c)."""
    if layout == "channels_last":
        h = _dense("grid", kernel, bias, relu=True)(z)
        return Reshape(shape, name="reshape")(h)
    height, width, channels = shape
    kernel = kernel.reshape(-1, *shape).transpose(0, 3, 1, 2).reshape(len(kernel), -1)
    bias = bias.reshape(shape).transpose(2, 0, 1).ravel()
    h = _dense("grid", kernel, bias, relu=True)(z)
    h = Reshape((channels, height, width), name="reshape")(h)
    return layers.Permute((2, 3, 1), name="to_channels_last")(h)


class Reshape(layers.Layer):  # type: ignore[misc]
    """(n, ...) to (n, *shape) with a constant shape; Keras' own reads n from the input's."""

    def __init__(self, shape: tuple[int, ...], name: str) -> None:
        super().__init__(name=name)
        self._shape = shape

    def call(self, x: Any) -> Any:
        """Reshape one tensor."""
        return tf.reshape(x, (-1, *self._shape))


class Sample(layers.Layer):  # type: ignore[misc]
    """mean, logvar and eps, each (n, latent_dim), to z = mean + exp(logvar / 2) * eps."""

    def call(self, inputs: Any) -> Any:
        """Sample, given the noise."""
        mean, logvar, eps = inputs
        return reparameterize(mean, logvar, eps)


class DepthToSpace(layers.Layer):  # type: ignore[misc]
    """(n, h, w, b * b * c) to (n, b * h, b * w, c): channel (b * p + q) * c + i to phase (p, q)."""

    def __init__(self, block: int, name: str) -> None:
        super().__init__(name=name)
        self._block = block

    def call(self, x: Any) -> Any:
        """Rearrange one tensor."""
        return tf.nn.depth_to_space(x, self._block)
