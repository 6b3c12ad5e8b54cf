"""The trained networks as Keras models in the shape that exports best; each is exact.

- mean and logvar are two dense layers, not slices of one: no slicing, and each has its own scale
  when it is quantized.
- The decoder's transposed convolutions are lowered where asked; see ``lowering``.
- Where channels come first (ONNX), flattening orders the dense layer's weights to match, so that no
  transposition is left in the graph.
- Reshapes leave the batch free and need no shape arithmetic.
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import layers

from cvae_edge.config import ModelConfig
from cvae_edge.exporters.layers import Reshape, convolution, dense, parameters
from cvae_edge.exporters.upsampling import Lowering, Mark, upsample
from cvae_edge.training.elbo import reparameterize
from cvae_edge.training.model import Weights

Layout = Literal["channels_first", "channels_last"]  # of the file's runtime


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
        kernel, bias = parameters(weights, f"encoder/conv_{i}")
        h = convolution(f"conv_{i}", kernel, bias, stride=2, relu=True)(h)
        h = mark(f"conv_{i}", h)
    h, kernel = _flatten(h, weights["encoder/posterior/kernel"], layout)
    bias, d = weights["encoder/posterior/bias"], config.latent_dim
    return {
        name: mark(name, dense(name, kernel[:, part], bias[part])(h))
        for name, part in (("mean", slice(None, d)), ("logvar", slice(d, None)))
    }


def decode(
    z: Any, config: ModelConfig, weights: Weights, layout: Layout, lowering: Lowering, mark: Mark
) -> Any:
    """Add the decoder's layers to the graph that ``z`` is of."""
    h = mark("z", z)
    kernel, bias = parameters(weights, "decoder/grid")
    h = _grid(h, kernel, bias, config.grid_shape, layout)
    h = mark("grid", h)
    return mark("x_logits", upsample(h, config, weights, lowering, mark))


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
        h = dense("grid", kernel, bias, relu=True)(z)
        return Reshape(shape, name="reshape")(h)
    height, width, channels = shape
    kernel = kernel.reshape(-1, *shape).transpose(0, 3, 1, 2).reshape(len(kernel), -1)
    bias = bias.reshape(shape).transpose(2, 0, 1).ravel()
    h = dense("grid", kernel, bias, relu=True)(z)
    h = Reshape((channels, height, width), name="reshape")(h)
    return layers.Permute((2, 3, 1), name="to_channels_last")(h)


class Sample(layers.Layer):  # type: ignore[misc]
    """mean, logvar and eps, each (n, latent_dim), to z = mean + exp(logvar / 2) * eps."""

    def call(self, inputs: Any) -> Any:
        """Sample, given the noise."""
        mean, logvar, eps = inputs
        return reparameterize(mean, logvar, eps)
