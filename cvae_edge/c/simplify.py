"""From a TFLite graph to what C has to compute: int8 tensors alone, pointwise chains as tables."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cvae_edge.c.pointwise import Values, evaluate
from cvae_edge.c.tflite_graph import Operator, Tensor, TFLiteGraph

_RESHAPES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
_INTEGERS = np.arange(-128, 128).astype(np.int8)
RESHAPE, TABLE = "RESHAPE", "TABLE"


@dataclass(frozen=True)
class Node:
    """One step: an operator of the file, a reshape, or a table of 256 integers."""

    name: str
    inputs: tuple[int, ...]
    output: int
    operator: Operator
    table: NDArray[np.int8] = field(default_factory=lambda: _INTEGERS)


@dataclass(frozen=True)
class IntegerGraph:
    """Nodes in order; what they take and give, by name."""

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]


def simplify(graph: TFLiteGraph) -> IntegerGraph:
    """Return the nodes that are left.

    Raises:
        ValueError: an operator computes in floating point, or a border is not int8.
    """
    return _Simplifier(graph).apply()


class _Simplifier:
    def __init__(self, graph: TFLiteGraph) -> None:
        self._graph, self._tensors = graph, graph.tensors
        self._nodes: list[Node] = []
        self._inputs: dict[int, int] = {}  # float inputs, and the integers that they become
        # Tensors that are a function of one value of another: that one, and its 256 results.
        self._functions: dict[int, tuple[int, Values]] = {}
        self._integers: dict[int, int] = {}  # float tensors by which integers stand for them
        self._ready: set[int] = set()  # tensors that a node gives

    def apply(self) -> IntegerGraph:
        given = set(self._graph.inputs.values())
        for operator in self._graph.operators:
            output = self._tensors[operator.outputs[0]]
            if output.dtype in (np.int32, np.int64):  # shapes, which are known
                continue
            if operator.name == "QUANTIZE" and self._is_float(operator.inputs[0], given):
                self._enter(operator.inputs[0], output.number)
            elif operator.name in _RESHAPES and self._reshape(operator):
                pass
            elif not self._fold(operator):
                self._keep(operator)
        inputs = {n: self._entry(i) for n, i in self._graph.inputs.items()}
        outputs = {n: self._exit(n, i) for n, i in self._graph.outputs.items()}
        return IntegerGraph(self._tensors, tuple(self._nodes), inputs, outputs)

    def _is_float(self, number: int, given: set[int]) -> bool:
        return number in given and self._tensors[number].dtype == np.float32

    def _enter(self, number: int, integers: int) -> None:
        if number in self._inputs:
            raise ValueError("an input must be rounded to integers once")
        self._inputs[number] = integers

    def _entry(self, number: int) -> int:
        entry = self._inputs.get(number, number)
        if self._tensors[entry].dtype != np.int8:
            raise ValueError("its inputs must be rounded to int8: it has hybrid or float operators")
        return entry

    def _exit(self, name: str, number: int) -> int:
        integers = self._integers.get(number, number)
        if self._tensors[integers].dtype != np.int8:
            raise ValueError(f"its output {name} must be made of int8 integers")
        return self._materialize(integers)

    def _reshape(self, operator: Operator) -> bool:
        """Reshape a function of another tensor without computing it."""
        x, y = operator.inputs[0], operator.outputs[0]
        if x not in self._functions:
            return False
        self._functions[y] = self._functions[x]
        if x in self._integers:
            self._integers[y] = self._integers[x]
        return True

    def _fold(self, operator: Operator) -> bool:
        """Evaluate a pointwise operator; whether it is one."""
        inputs = [self._tensors[i] for i in operator.inputs]
        if any(t.data is not None for t in inputs) or len({t.shape for t in inputs}) != 1:
            return False
        if any(t.dtype == np.float32 and t.number not in self._functions for t in inputs):
            return False
        parts = [self._functions.get(t.number, (t.number, _INTEGERS)) for t in inputs]
        if len({root for root, _ in parts}) != 1:
            return False
        output = self._tensors[operator.outputs[0]]
        values = evaluate(operator, inputs, output, [v for _, v in parts])
        if values is None:
            return False
        self._functions[output.number] = (parts[0][0], values)
        if operator.name == "DEQUANTIZE":
            self._integers[output.number] = inputs[0].number
        return True

    def _keep(self, operator: Operator) -> None:
        for number in (*operator.inputs, *operator.outputs):
            tensor = self._tensors[number] if number >= 0 else None
            if tensor and tensor.dtype not in (np.int8, np.int32, np.int64):
                raise ValueError(
                    f"{operator.name} computes with other types than int8, which C has no kernel "
                    "for (a hybrid or float operator)"
                )
        inputs = tuple(
            self._materialize(i) if i >= 0 and self._tensors[i].dtype == np.int8 else i
            for i in operator.inputs
        )
        name = RESHAPE if operator.name in _RESHAPES else operator.name
        self._nodes.append(Node(name, inputs, operator.outputs[0], operator))

    def _materialize(self, number: int) -> int:
        """Have a node give a tensor that was a function until now."""
        if number in self._functions and number not in self._ready:
            root, values = self._functions[number]
            table = Operator(TABLE, (root,), (number,), None)
            self._nodes.append(Node(TABLE, (root,), number, table, values))
            self._ready.add(number)
        return number
