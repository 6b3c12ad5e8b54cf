"""Flat values in the order of a runtime that keeps channels first (ONNX); exact.

Keras flattens (h, w, c) with channels last. Where that meets a dense layer, the layer's weights are
put in the order (c, h, w) instead, so that no transposition of values is left in the file.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from cvae_edge.exporters.passes.graph import Call, Graph, keep
from cvae_edge.exporters.passes.kinds import is_elementwise
from cvae_edge.exporters.passes.layers import Reshape, rewrite_linear

Shape = tuple[int, int, int]


def channels_first(model: keras.Model) -> keras.Model:
    """Return the same function with its flat values in the order (c, h, w)."""
    graph = Graph(model)
    flattened: dict[int, Shape] = {}  # by dense call: the image that its inputs were
    spread: dict[int, Shape] = {}  # by dense call: the image that its units become
    moved: set[int] = set()
    for call in graph.calls:
        if not isinstance(call.layer, Reshape):
            continue
        before, after = call.inputs[0].shape[1:], call.output.shape[1:]
        if (len(before), len(after)) == (3, 1):
            ends = _dense_users(graph, call)
            flattened |= {id(end): tuple(before) for end in ends or []}
        elif (len(before), len(after)) == (1, 3):
            ends = _dense_maker(graph, call)
            spread |= {id(end): tuple(after) for end in ends or []}
        else:
            continue
        if ends:
            moved.add(id(call))

    def rule(call: Call, *args: Any, **kwargs: Any) -> Any:
        if id(call) in moved:
            if len(args[0].shape) == 4:
                return Reshape(tuple(call.output.shape[1:]))(layers.Permute((3, 1, 2))(args[0]))
            h, w, c = call.output.shape[1:]
            return layers.Permute((2, 3, 1))(Reshape((c, h, w))(args[0]))
        rows, units = flattened.get(id(call)), spread.get(id(call))
        if rows is None and units is None:
            return keep(call, *args, **kwargs)
        kernel, bias = call.layer.get_weights()
        kernel = kernel[_order(rows)] if rows else kernel
        kernel, bias = (kernel[:, _order(units)], bias[_order(units)]) if units else (kernel, bias)
        return rewrite_linear(call.layer, kernel, bias)(args[0])

    return graph.rebuild(rule)


def _order(shape: Shape) -> Any:
    return np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()


def _dense_users(graph: Graph, call: Call) -> list[Call] | None:
    """Return the dense layers that alone take the output of ``call``; None if others do too."""
    found: list[Call] = []
    for user in graph.users(call):
        through = _dense_users(graph, user) if is_elementwise(user.layer) else None
        ends = [user] if isinstance(user.layer, layers.Dense) else through
        if ends is None:
            return None
        found += ends
    return None if graph.is_output(call) else found


def _dense_maker(graph: Graph, call: Call) -> list[Call] | None:
    """Return the dense layer whose output goes to ``call`` alone; None if there is no such."""
    maker = graph.maker(call.inputs[0])
    if maker is None or graph.only_user(maker) is not call:
        return None
    if isinstance(maker.layer, layers.Dense):
        return [maker]
    return _dense_maker(graph, maker) if is_elementwise(maker.layer) else None
