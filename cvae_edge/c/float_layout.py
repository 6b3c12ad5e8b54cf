"""Where the tensors of a float graph lie, a learned prior's, and the steps that fill them.

A slice is a part of the tensor that it is taken from, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cvae_edge.c.arena import lifetimes, place
from cvae_edge.c.moves import strided
from cvae_edge.c.steps import Step
from cvae_edge.c.tflite_graph import Operator, Tensor, TFLiteGraph
from cvae_edge.c.views import View, dense

_FLOAT = 4  # bytes
_RELU = 1  # ActivationFunctionType
_ONE_BY_ONE = {
    "ADD": "cvae_float_add", "MUL": "cvae_float_multiply",
    "TANH": "cvae_float_tanh", "EXP": "cvae_float_exp",
}  # fmt: skip


class FloatLayout:
    """A float graph's steps, the offset of each buffer in floats, and the arena's size in bytes.

    Raises:
        ValueError: an operator has no C kernel.
    """

    member = "floats"  # of the arena, that offsets are in

    def __init__(self, graph: TFLiteGraph) -> None:
        self._tensors = graph.tensors
        self._views = {n: dense(n, graph.tensors[n].shape) for n in graph.inputs.values()}
        self.steps: list[Step] = []
        for operator in graph.operators:
            self.steps += self._steps(operator)
        inputs, outputs = (
            [self._read(number).buffer for number in borders.values()]
            for borders in (graph.inputs, graph.outputs)
        )
        used = [step.buffers for step in self.steps]
        lives = lifetimes(
            used, inputs, outputs, lambda buffer: _FLOAT * self._tensors[buffer].count
        )
        self._offsets, self.arena_bytes = place(lives)
        self.scratch: dict[int, int] = {}

    def offset(self, view: View) -> int:
        """Return where a view begins in the arena."""
        return self._offsets[view.buffer] // _FLOAT + view.offset

    def border(self, number: int) -> tuple[Tensor, int]:
        """Return an input or output, and where it lies in the arena."""
        return self._tensors[number], self.offset(self._read(number))

    def _read(self, number: int) -> View:
        view = self._views.get(number)
        if view is None or self._tensors[number].dtype != np.float32:
            raise ValueError("its tensors must be floats that are computed, beside a layer's own")
        return view

    def _write(self, number: int) -> View:
        view = self._views[number] = dense(number, self._tensors[number].shape)
        self._read(number)
        return view

    def _steps(self, operator: Operator) -> list[Step]:
        taken = [i for i in operator.inputs if i >= 0]
        (output,) = operator.outputs
        tensors = [self._tensors[i] for i in taken]
        if operator.name == "FULLY_CONNECTED":
            x = self._read(taken[0])
            return [_dense(operator, tensors, x, self._write(output))]
        if operator.name == "STRIDED_SLICE":
            part = strided(operator, tensors, self._read(taken[0]), self._tensors[output].shape)
            if not part.is_dense:
                raise ValueError("STRIDED_SLICE must take values that lie side by side")
            self._views[output] = part
            return []
        parts = [self._read(i) for i in taken]
        y = self._write(output)
        if operator.name == "CONCATENATION":
            return _copies(operator, parts, y)
        if operator.name not in _ONE_BY_ONE:
            raise ValueError(f"{operator.name} of floats has no C kernel")
        if any(part.shape != y.shape for part in parts) or _activation(operator):
            raise ValueError(f"{operator.name} must take tensors of one shape, and nothing after")
        count = self._tensors[output].count
        return [Step(_ONE_BY_ONE[operator.name], {}, tuple(parts), y, extra=(count,))]


def _activation(operator: Operator) -> int:
    return int(operator.number(0, "b")) if operator.name in ("ADD", "MUL") else 0


def _dense(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> Step:
    vector, kernel, *bias = tensors
    activation = operator.number(0, "b")
    constants = [t.data for t in (kernel, *bias)]
    if any(data is None for data in constants) or activation not in (0, _RELU):
        raise ValueError("a dense layer must have constant weights, and nothing or ReLU after it")
    outputs, inputs = kernel.shape
    if vector.count != inputs or any(b.count != outputs for b in bias):
        raise ValueError("a dense layer must take one vector")
    floats: dict[str, Any] = {"bias": constants[1]} if bias else {}
    integers = {}
    if kernel.dtype == np.int8:
        if len(kernel.scales) not in (1, outputs) or kernel.zero_point:
            raise ValueError("a kernel must have one scale, or one for each output")
        floats["scale"] = np.broadcast_to(np.array(kernel.scales, np.float32), outputs)
        integers["integers"] = kernel.data
    else:
        floats["weights"] = kernel.data
    if any(v.dtype != np.float32 or not np.isfinite(v).all() for v in floats.values()):
        raise ValueError("weights must be int8 or finite floats")
    fields = {"inputs": inputs, "outputs": outputs, "relu": activation, **integers, **floats}
    return Step("cvae_float_dense", fields, (x,), y, "cvae_float_layer")


def _copies(operator: Operator, parts: Sequence[View], y: View) -> list[Step]:
    axis, start, steps = operator.number(0) % len(y.shape), 0, []
    for x in parts:
        size = x.shape[axis]
        part = y.part(axis, start, size)
        start += size
        if not part.is_dense or part.shape != x.shape:
            raise ValueError("CONCATENATION must be of vectors")
        steps.append(Step("cvae_float_copy", {}, (x,), part, extra=(int(np.prod(x.shape)),)))
    return steps
