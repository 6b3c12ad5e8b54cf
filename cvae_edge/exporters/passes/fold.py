"""Fewer layers: normalization into the layer before it, ReLU into its layer, slices into theirs.

Batch normalization is y = scale * h + shift for each channel, with scale = gamma / sqrt(variance +
epsilon) and shift = beta - mean * scale (Ioffe and Szegedy 2015, algorithm 2). Behind a linear
layer it is that layer with another kernel and bias; elsewhere it is a depthwise 1x1 convolution.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from cvae_edge.exporters.passes.graph import Call, Graph, keep
from cvae_edge.exporters.passes.kinds import activation_of, is_linear
from cvae_edge.exporters.passes.layers import (
    Kernel,
    constant,
    dense,
    output_axes,
    rewrite_linear,
)


def fold(model: keras.Model) -> keras.Model:
    """Return the same function with normalizations, ReLUs and slices of dense layers folded."""
    for step in (_fold_normalization, _fuse_relu, _split_dense):
        model = step(model)
    return model


def output_scaled(layer: Any, kernel: Kernel, scale: Kernel) -> Kernel:
    """Return a linear layer's kernel with its output channels times ``scale`` (channels,)."""
    axes = output_axes(layer)
    return kernel * scale.reshape([n if i in axes else 1 for i, n in enumerate(kernel.shape)])


def _fold_normalization(model: keras.Model) -> keras.Model:
    graph = Graph(model)

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        user = graph.only_user(call)
        if _has_no_activation(call.layer) and user and _is_normalization(user.layer):
            scale, shift = _scale_and_shift(user.layer)
            kernel, bias = call.layer.get_weights()
            kernel = output_scaled(call.layer, kernel, scale)
            return rewrite_linear(call.layer, kernel, bias * scale + shift)(args[0])
        if not _is_normalization(call.layer):
            return keep(call, *args, **kwargs)
        before = graph.maker(call.inputs[0])
        if before and _has_no_activation(before.layer) and graph.only_user(before) is call:
            return args[0]
        scale, shift = _scale_and_shift(call.layer)
        if len(args[0].shape) != 4:
            return call.layer(args[0], training=False)
        arguments = constant(scale[np.newaxis, np.newaxis, :, np.newaxis], shift)
        arguments["depthwise_initializer"] = arguments.pop("kernel_initializer")
        return layers.DepthwiseConv2D(1, name=call.layer.name, **arguments)(args[0])

    return graph.rebuild(rule)


def _fuse_relu(model: keras.Model) -> keras.Model:
    graph = Graph(model)

    def takes_relu(call: Call | None) -> bool:
        user = graph.only_user(call) if call and _has_no_activation(call.layer) else None
        return user is not None and activation_of(user.layer) == "relu"

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        if takes_relu(call):
            return rewrite_linear(call.layer, *call.layer.get_weights(), activation="relu")(args[0])
        if activation_of(call.layer) == "relu" and takes_relu(graph.maker(call.inputs[0])):
            return args[0]
        return keep(call, *args, **kwargs)

    return graph.rebuild(rule)


def _split_dense(model: keras.Model) -> keras.Model:
    """Make a dense layer whose output is only sliced one layer a slice.

    There is no slicing then, and mean and logvar have each their own scale in int8.
    """
    graph = Graph(model)

    def columns(call: Call) -> slice | None:
        """Return the units that a slice of (n, units) takes; None for another call."""
        if type(call.layer).__name__ != "GetItem":
            return None
        key: Any = call.args[1] if len(call.args) == 2 else call.kwargs.get("key")
        fits = isinstance(key, tuple | list) and len(key) == 2 and key[0] == slice(None)
        return key[1] if fits and isinstance(key[1], slice) else None

    def is_split(call: Call | None) -> bool:
        users = graph.users(call) if call else []
        return (
            call is not None
            and isinstance(call.layer, layers.Dense)
            and len(call.output.shape) == 2
            and len(users) > 1
            and not graph.is_output(call)
            and all(columns(user) is not None for user in users)
        )

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        if is_split(call):
            return args[0]  # the slices' layers take what this one took
        part = columns(call)
        before = graph.maker(call.inputs[0]) if part else None
        if part is None or before is None or not is_split(before):
            return keep(call, *args, **kwargs)
        kernel, bias = before.layer.get_weights()
        return dense(kernel[:, part], bias[part], before.layer.activation)(args[0])

    return graph.rebuild(rule)


def _is_normalization(layer: Any) -> bool:
    return isinstance(layer, layers.BatchNormalization)


def _has_no_activation(layer: Any) -> bool:
    return is_linear(layer) and layer.activation is keras.activations.linear


def _scale_and_shift(layer: Any) -> tuple[Kernel, Kernel]:
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    scale = 1 / np.sqrt(variance + layer.epsilon)
    scale = scale * np.asarray(layer.gamma) if layer.scale else scale
    shift = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    return scale.astype(np.float32), (shift - mean * scale).astype(np.float32)
