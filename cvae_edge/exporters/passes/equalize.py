"""Even out the channels between layers before quantization; exact in float.

f(s * h) = s * f(h) for s > 0 and f such as ReLU, so a channel that one layer divides by s and the
next ones multiply by s changes nothing (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.1). One scale then fits all channels of an activation
and of a kernel.
How much of the unevenness goes from the activations to the weights is alpha:
s = max|h|^alpha / max|w|^(1 - alpha), per channel (Xiao et al. 2023, "SmoothQuant", equation 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.fold import output_scaled
from cvae_edge.exporters.passes.graph import Call, Graph, keep
from cvae_edge.exporters.passes.kinds import is_linear, scales_through
from cvae_edge.exporters.passes.layers import Kernel, rewrite_linear

_SMALLEST = 1e-3  # of the largest channel: what is hardly ever active must not blow up


def equalize(model: keras.Model, values: Mapping[str, Array], alpha: float) -> keras.Model:
    """Return the same function with evener channels.

    Args:
        model: normalized and folded.
        values: by linear layer's name, its output on some inputs, after its ReLU.
        alpha: 0 evens out the weights, 1 the activations.
    """
    graph = Graph(model)
    weights = {c.layer.name: c.layer.get_weights() for c in graph.calls if is_linear(c.layer)}
    for call in graph.calls:
        following = _following(graph, call) if is_linear(call.layer) else None
        if following:
            _even_out(call, following, weights, values[call.layer.name], alpha)

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        if not is_linear(call.layer):
            return keep(call, *args, **kwargs)
        return rewrite_linear(call.layer, *weights[call.layer.name])(args[0])

    return graph.rebuild(rule)


def _following(graph: Graph, call: Call) -> list[Call] | None:
    """Return the linear layers that take an output, through layers that pass a scale on.

    None where something else takes it, or where a reshape does not keep channels together.
    """
    found: list[Call] = []
    if graph.is_output(call):
        return None
    for user in graph.users(call):
        ends: list[Call] | None = [user]
        if not is_linear(user.layer):
            passes = scales_through(user.layer) and not isinstance(user.layer, layers.Permute)
            ends = _following(graph, user) if passes else None
        if ends is None:
            return None
        found += ends
    return found


def _even_out(
    call: Call,
    following: list[Call],
    weights: dict[str, list[Kernel]],
    values: Array,
    alpha: float,
) -> None:
    kernel, bias = weights[call.layer.name]
    inputs = [_by_input(user.layer, weights[user.layer.name][0]) for user in following]
    channels = min(len(bias), *(len(by_channel) for by_channel in inputs))
    counts = {len(bias), *(len(by_channel) for by_channel in inputs)}
    if any(count % channels for count in counts):
        return
    peak = _floored(np.abs(values).reshape(-1, channels).max(axis=0))
    width = _floored(np.max([_largest(by, channels) for by in inputs], axis=0))
    scale = (peak**alpha / width ** (1 - alpha)).astype(np.float32)
    scale /= np.exp(np.log(scale).mean())
    # Flat values have their channels last: channel i of every pixel is i modulo their number.
    divided = np.tile(scale, len(bias) // channels)
    inverse = (1 / divided).astype(np.float32)
    weights[call.layer.name] = [output_scaled(call.layer, kernel, inverse), bias * inverse]
    for user in following:
        kernel, bias = weights[user.layer.name]
        axis = _input_axis(user.layer)
        factor = np.tile(scale, kernel.shape[axis] // channels)
        shape = [-1 if i == axis % kernel.ndim else 1 for i in range(kernel.ndim)]
        weights[user.layer.name] = [kernel * factor.reshape(shape), bias]


def _floored(largest: Array) -> Array:
    top = largest.max() or 1.0  # a layer that is dead on these inputs
    return np.maximum(largest, _SMALLEST * top)


def _largest(by_input: Kernel, channels: int) -> Kernel:
    width: Kernel = by_input.reshape(-1, channels, by_input.shape[1]).max(axis=(0, 2))
    return width


def _by_input(layer: Any, kernel: Kernel) -> Kernel:
    """Return |kernel| as (input channels, the rest)."""
    moved = np.moveaxis(np.abs(kernel), _input_axis(layer), 0)
    return moved.reshape(len(moved), -1)


def _input_axis(layer: Any) -> int:
    return -1 if isinstance(layer, layers.Conv2DTranspose) else -2
