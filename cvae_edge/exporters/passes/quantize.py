"""Marks for integers: fake quantization after every activation that a file stores as integers.

A network that rounds its kernels, and each activation, computes what the integer file will, up to
the rounding inside integer kernels. What only moves values has the range of what it moves, so marks
stand behind what computes, and a lowering may take them with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.graph import Call, Graph, keep
from cvae_edge.exporters.passes.kinds import is_linear, is_moving
from cvae_edge.exporters.passes.layers import FakeQuantize, output_axes, rewrite_linear

Range = tuple[float, float]
_DENSE_LEVELS = 127
_CONVOLUTIONS = (layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D)


@dataclass(frozen=True)
class Scheme:
    """How int8 is done in one format."""

    conv_levels: int  # kernels of convolutions go from -levels to levels
    convolutions_alone: bool  # other layers compute with floats; dense kernels are stored as int8


def marked(model: keras.Model, scheme: Scheme) -> dict[str, keras.KerasTensor]:
    """Return the activations to quantize by the name of their layer or input.

    The tensors are those of a copy of ``model``; ``observe`` takes them.
    """
    graph = Graph(model)
    found = {}
    for maker, tensor in _activations(graph):
        name = tensor.name if maker is None else maker.layer.name
        if not scheme.convolutions_alone or _touches_convolution(graph, maker, tensor):
            found[name] = tensor
    return found


def observe(model: keras.Model, inputs: Mapping[str, Array], batch: int = 100) -> dict[str, Array]:
    """Return every activation of ``model`` that computes something, by name, on ``inputs``."""
    graph = Graph(model)
    tensors = {t.name if maker is None else maker.layer.name: t for maker, t in _activations(graph)}
    watched = keras.Model({t.name: t for t in graph.inputs}, tensors)
    n = len(next(iter(inputs.values())))
    parts = [
        watched({name: value[low : low + batch] for name, value in inputs.items()})
        for low in range(0, n, batch)
    ]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in tensors}


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


def round_kernels(model: keras.Model, scheme: Scheme) -> keras.Model:
    """Return the model with every kernel rounded to the integers of ``scheme``, symmetric."""

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        if not is_linear(call.layer):
            return keep(call, *args, **kwargs)
        kernel, bias = call.layer.get_weights()
        outputs = output_axes(call.layer)
        others = tuple(axis for axis in range(kernel.ndim) if axis not in outputs)
        levels = scheme.conv_levels if isinstance(call.layer, _CONVOLUTIONS) else _DENSE_LEVELS
        scale = np.abs(kernel).max(axis=others, keepdims=True) / levels
        scale = np.maximum(scale, np.finfo(np.float32).tiny)  # a channel of zeros
        return rewrite_linear(call.layer, np.rint(kernel / scale) * scale, bias)(args[0])

    return Graph(model).rebuild(rule)


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
