"""One form for what can be written in many ways: the first pass.

Models in models are opened, what only training needs goes, a separable convolution becomes its two
halves, every linear layer has a bias and no activation but ReLU, reshapes have constant shapes, and
a layer that is called twice becomes two, so that every layer has one place.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, tree

from cvae_edge.exporters.passes.graph import Call, Graph, is_tensor
from cvae_edge.exporters.passes.kinds import DROPPED, is_linear
from cvae_edge.exporters.passes.layers import Reshape, copy, output_axes, rewrite_linear


def normalize(model: keras.Model) -> keras.Model:
    """Return the same function in the form that the other passes take."""
    return Graph(model).rebuild(_Normalization(model.name[:1]).rule)


class _Normalization:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix  # with a dot, which no name has that Keras makes for later layers
        self._names: set[str] = set()

    def rule(self, call: Call, *args: Any, **kwargs: Any) -> Any:
        layer = call.layer
        if isinstance(layer, keras.Model):
            tensors = [t for t in tree.flatten((args, kwargs)) if is_tensor(t)]
            return Graph(layer).run(tensors, self.rule)
        if isinstance(layer, DROPPED):
            return args[0]
        kwargs.pop("training", None)
        if isinstance(layer, layers.Flatten | layers.Reshape) and _last(layer):
            return Reshape(tuple(call.output.shape[1:]), self._name(layer.name))(args[0])
        if isinstance(layer, layers.SeparableConv2D):
            return self._separable(layer, args[0])
        if is_linear(layer):
            return self._linear(layer, args[0])
        if not isinstance(layer, layers.Layer):  # an operation on tensors, such as a slice
            return layer(*args, **kwargs)
        return copy(layer, name=self._name(layer.name))(*args, **kwargs)

    def _linear(self, layer: Any, x: Any) -> Any:
        kernel, *bias = layer.get_weights()
        channels = math.prod(kernel.shape[axis] for axis in output_axes(layer))
        activation = keras.activations.serialize(layer.activation)
        kept = activation if activation == "relu" else None
        new = rewrite_linear(
            layer,
            kernel,
            bias[0] if bias else np.zeros(channels, np.float32),
            activation=kept,
            name=self._name(layer.name),
        )
        return self._activate(new(x), layer, kept)

    def _separable(self, layer: Any, x: Any) -> Any:
        depthwise, pointwise, *bias = layer.get_weights()
        first = layers.DepthwiseConv2D(
            layer.kernel_size,
            layer.strides,
            layer.padding,
            layer.depth_multiplier,
            dilation_rate=layer.dilation_rate,
            name=self._name(f"{layer.name}_depthwise"),
        )
        second = layers.Conv2D(layer.filters, 1, name=self._name(layer.name))
        h = first(x)
        first.set_weights([depthwise, np.zeros(pointwise.shape[2], np.float32)])
        y = second(h)
        second.set_weights([pointwise, *(bias or [np.zeros(layer.filters, np.float32)])])
        return self._activate(y, layer, None)

    def _activate(self, h: Any, layer: Any, done: str | None) -> Any:
        """Apply a layer's activation as a layer of its own, unless it is ``done``."""
        if done or layer.activation is keras.activations.linear:
            return h
        return layers.Activation(layer.activation, name=self._name(f"{layer.name}_activation"))(h)

    def _name(self, wanted: str) -> str:
        name, i = f"{self._prefix}.{wanted}", 1
        while name in self._names:
            i += 1
            name = f"{self._prefix}.{wanted}_{i}"
        self._names.add(name)
        return name


def _last(layer: Any) -> bool:
    return getattr(layer, "data_format", "channels_last") == "channels_last"
