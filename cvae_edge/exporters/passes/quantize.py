"""Marks for integers: fake quantization after every activation that a file stores as integers.

A network that rounds its kernels, and each activation, computes what the integer file will, up to
the rounding inside integer kernels. What only moves values has the range of what it moves, so marks
stand behind what computes, and a lowering may take them with it.

Gradients pass straight through the rounding (Bengio, Leonard, Courville 2013), but for activations
beyond their range, which change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.graph import Call, Graph, keep
from cvae_edge.exporters.passes.kinds import is_linear, is_moving
from cvae_edge.exporters.passes.layers import FakeQuantize, output_axes, rewrite_linear

Range = tuple[float, float]
_KEPT = 1 << 25  # values of all activations that are kept
_CONVOLUTIONS = (layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D)


@dataclass(frozen=True)
class Scheme:
    """How integers are used in one precision of a format; kernels go from -levels to levels."""

    conv_levels: int
    dense_levels: int = 127
    activations: Literal["all", "convolutions", "none"] = "all"  # to be 8-bit integers as well:
    # those that convolutions take or give, where other layers compute with floats


def marked(model: keras.Model, scheme: Scheme) -> dict[str, keras.KerasTensor]:
    """Return the activations to quantize by the name of their layer or input.

    The tensors are those of a copy of ``model``; ``observe`` takes them.
    """
    graph = Graph(model)
    found = {}
    for maker, tensor in _activations(graph) if scheme.activations != "none" else ():
        name = tensor.name if maker is None else maker.layer.name
        if scheme.activations == "all" or _touches_convolution(graph, maker, tensor):
            found[name] = tensor
    return found


def observe(model: keras.Model, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return every activation of ``model`` that computes something, by name, on ``inputs``.

    Of images too large to keep all of them, (pixels, channels): each channel's extremes, and a
    sample of the others.
    """
    graph = Graph(model)
    tensors = {t.name if maker is None else maker.layer.name: t for maker, t in _activations(graph)}
    watched = keras.Model({t.name: t for t in graph.inputs}, tensors)
    size = sum(math.prod(t.shape[1:]) for t in tensors.values())
    n = len(next(iter(inputs.values())))
    batch = max(1, min(100, _KEPT // size))
    parts: dict[str, list[Array]] = {name: [] for name in tensors}
    for low in range(0, n, batch):
        given = watched({name: value[low : low + batch] for name, value in inputs.items()})
        for name in tensors:
            parts[name].append(_sample(np.asarray(given[name]), _KEPT / (size * n)))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _sample(values: Array, share: float) -> Array:
    """Return (pixels, channels): a share of (n, h, w, c), extremes too; or all, as they are."""
    if share >= 1 or values.ndim != 4:
        return values
    pixels = values.reshape(-1, values.shape[-1])
    some = np.random.default_rng(0).integers(len(pixels), size=math.ceil(share * len(pixels)))
    kept: Array = pixels[np.concatenate([some, pixels.argmax(axis=0), pixels.argmin(axis=0)])]
    return kept


def mark(
    model: keras.Model, ranges: Mapping[str, Range]
) -> tuple[keras.Model, dict[str, FakeQuantize]]:
    """Return the model with its activations rounded to 8 bits, and what rounds them, by name."""
    marks = {name: FakeQuantize(*r, f"{name}.range") for name, r in ranges.items()}

    def rounded(name: str, value: Any) -> Any:
        return marks[name](value) if name in marks else value

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        outputs = keep(call, *args, **kwargs)
        return rounded(call.layer.name, outputs)

    return Graph(model).rebuild(rule, lambda x: rounded(x.name, x)), marks


def unmarked(model: keras.Model) -> keras.Model:
    """Return the model without its marks."""

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(call.layer, FakeQuantize) else keep(call, *args, **kwargs)

    return Graph(model).rebuild(rule)


def output_names(model: keras.Model) -> dict[str, str]:
    """Return the name of the activation that each output is, moves left out of account."""
    graph = Graph(model)
    names = {}
    for name, tensor in graph.outputs.items():
        maker = graph.maker(tensor)
        while maker is not None and is_moving(maker.layer):
            tensor = maker.inputs[0]
            maker = graph.maker(tensor)
        names[name] = tensor.name if maker is None else maker.layer.name
    return names


def linear_layers(model: keras.Model) -> list[Any]:
    """Return the layers whose kernels a file stores as integers."""
    return [layer for layer in model.layers if is_linear(layer)]


def with_own_kernels(model: keras.Model) -> keras.Model:
    """Return the same function, whose kernels and biases can be changed apart from ``model``'s."""
    copies = {
        layer.name: rewrite_linear(layer, *layer.get_weights()) for layer in linear_layers(model)
    }

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        layer = copies.get(call.layer.name)
        return keep(call, *args, **kwargs) if layer is None else layer(args[0])

    return Graph(model).rebuild(rule)


def rounding(scheme: Scheme, *models: keras.Model) -> keras.StatelessScope:
    """Return the scope in which the kernels of ``models`` are rounded as ``scheme`` stores them."""
    kernels = [(layer, layer.kernel) for model in models for layer in linear_layers(model)]
    return keras.StatelessScope(
        state_mapping=[(kernel, _straight_through(layer, scheme)) for layer, kernel in kernels]
    )


def with_rounded_kernels(model: keras.Model, scheme: Scheme) -> keras.Model:
    """Return the model with its kernels rounded as ``scheme`` stores them."""
    rounded = with_own_kernels(model)
    with rounding(scheme, rounded):
        kernels = [np.asarray(layer.kernel) for layer in linear_layers(rounded)]
    for layer, kernel in zip(linear_layers(rounded), kernels, strict=True):
        layer.kernel.assign(kernel)
    return rounded


def channel_peaks(layer: Any) -> Any:
    """Return the largest absolute value of each output channel of a kernel, in its rank."""
    outputs, kernel = output_axes(layer), keras.ops.convert_to_tensor(layer.kernel)
    others = tuple(axis for axis in range(len(kernel.shape)) if axis not in outputs)
    return keras.ops.max(keras.ops.abs(kernel), axis=others, keepdims=True)


def _straight_through(layer: Any, scheme: Scheme) -> Any:
    """Return a layer's kernel, rounded for what comes after it and not for its gradient."""
    kernel = keras.ops.convert_to_tensor(layer.kernel)
    levels = scheme.conv_levels if isinstance(layer, _CONVOLUTIONS) else scheme.dense_levels
    tiny = np.finfo(np.float32).tiny  # for a channel of zeros
    scale = keras.ops.maximum(channel_peaks(layer) / levels, tiny)
    rounded = keras.ops.round(kernel / scale) * scale
    return kernel + keras.ops.stop_gradient(rounded - kernel)


def _activations(graph: Graph) -> list[tuple[Call | None, keras.KerasTensor]]:
    """Return every tensor that is no move of another, with the call that makes it."""
    computed = [(c, c.output) for c in graph.calls if len(c.outputs) == 1 and not _moves(c.layer)]
    return [*((None, t) for t in graph.inputs), *computed]


def _moves(layer: Any) -> bool:
    return is_moving(layer) or isinstance(layer, layers.MaxPooling2D)


def _touches_convolution(graph: Graph, maker: Call | None, tensor: keras.KerasTensor) -> bool:
    if maker is not None and isinstance(maker.layer, _CONVOLUTIONS):
        return True
    return any(
        isinstance(user.layer, _CONVOLUTIONS)
        or (_moves(user.layer) and _touches_convolution(graph, None, user.output))
        for user in graph.users_of(tensor)
    )
