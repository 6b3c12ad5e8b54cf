"""Where each tensor lies, and the steps that fill it.

What only moves values costs nothing where it can be avoided: a reshape is another view of the same
bytes, the parts of a concatenation are written where they belong, the zeros around an image are
skipped by the convolution that would read them, and a table's result takes its input's place.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from cvae_edge.c import windows
from cvae_edge.c.arena import Life, lifetimes, place
from cvae_edge.c.moves import MOVES, pair
from cvae_edge.c.simplify import RESHAPE, TABLE, IntegerGraph, Node
from cvae_edge.c.steps import Step, lookup, move
from cvae_edge.c.tflite_graph import Tensor
from cvae_edge.c.views import View, dense
from cvae_edge.c.windows import Pads

_WINDOWS = {
    "CONV_2D": (0, windows.conv), "DEPTHWISE_CONV_2D": (0, windows.depthwise),
    "FULLY_CONNECTED": (0, windows.dense), "TRANSPOSE_CONV": (2, windows.transposed),
    "AVERAGE_POOL_2D": (0, windows.pool), "MAX_POOL_2D": (0, windows.pool),
}  # fmt: skip
_LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")  # write with gaps
_PADDED = ("CONV_2D", "DEPTHWISE_CONV_2D")
_PAIRS = ("ADD", "MUL")


class Layout:
    """A graph's steps, the offset of each buffer, and the arena's size in bytes."""

    member = "bytes"  # of the arena, that offsets are in

    def __init__(self, graph: IntegerGraph) -> None:
        self._graph, self._tensors = graph, graph.tensors
        self._pads: dict[int, tuple[int, Pads]] = {}  # padded tensors: of which, by how much
        self._class: dict[int, int] = {}  # tensors that are other shapes of the same bytes
        self._places: dict[int, View] = {}  # classes that lie within another one, in one's shape
        self._same: dict[int, int] = {}  # buffers that take another one's place
        nodes = self._without_pads(graph.nodes)
        self._join_reshapes(nodes)
        self._nodes = [node for node in nodes if node.name != RESHAPE]
        self._uses = Counter(self._root(i) for n in self._nodes for i in self._activations(n))
        self._borders = {self._root(i) for i in (*graph.inputs.values(), *graph.outputs.values())}
        self._place_parts()
        self._reuse()
        self.steps: list[Step] = []
        for node in self._nodes:
            self.steps += self._steps(node)
        self._offsets, self.arena_bytes, self.scratch = self._plan()

    def offset(self, view: View) -> int:
        """Return where a view begins in the arena."""
        return self._offsets[self._buffer(view.buffer)] + view.offset

    def border(self, number: int) -> tuple[Tensor, int]:
        """Return an input or output, and where it lies in the arena."""
        return self._tensors[number], self.offset(self._view(number))

    def _activations(self, node: Node) -> list[int]:
        """Return what a node reads that is computed, through the zeros around it."""
        taken = [self._pads[i][0] if i in self._pads else i for i in node.inputs if i >= 0]
        return [i for i in taken if self._tensors[i].data is None and not self._is_shape(i)]

    def _is_shape(self, number: int) -> bool:
        return self._tensors[number].dtype is not np.int8

    def _without_pads(self, nodes: tuple[Node, ...]) -> list[Node]:
        """Leave out pads whose every reader can skip the zeros."""
        kept = []
        readers: dict[int, list[Node]] = {}
        for node in nodes:
            for i in node.inputs:
                readers.setdefault(i, []).append(node)
        for node in nodes:
            pads = _image_pads(node, self._tensors)
            mine = readers.get(node.output, [])
            inner = all(n.name in _PADDED and n.inputs[0] == node.output for n in mine)
            if pads and mine and inner and node.output not in self._graph.outputs.values():
                self._pads[node.output] = (node.inputs[0], pads)
            else:
                kept.append(node)
        return kept

    def _join_reshapes(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node.name == RESHAPE:
                self._class[self._root(node.output)] = self._root(node.inputs[0])

    def _root(self, number: int) -> int:
        while number in self._class:
            number = self._class[number]
        return number

    def _buffer(self, number: int) -> int:
        while number in self._same:
            number = self._same[number]
        return number

    def _view(self, number: int) -> View:
        shape = self._tensors[number].shape
        root = self._root(number)
        if root not in self._places:
            return dense(root, shape)
        view = self._places[root].reshaped(shape)
        if view is None:
            raise ValueError("a tensor cannot be read as another shape")
        return view

    def _place_parts(self) -> None:
        """Have the inputs of concatenations written where they belong, where that can be done."""
        makers = {self._root(n.output): n for n in self._nodes}
        for node in reversed(self._nodes):
            if node.name != "CONCATENATION":
                continue
            for number, part in self._parts(node):
                root = self._root(number)
                maker = makers.get(root)
                alone = self._uses[root] == 1 and root not in self._borders
                if maker is None or not alone or maker.name not in (*_LINEAR, "CONCATENATION"):
                    continue
                own = part.reshaped(self._tensors[maker.output].shape)
                if own is not None and (own.strides[-1] == 1 or own.shape[-1] == 1):
                    self._places[root] = part

    def _parts(self, node: Node) -> list[tuple[int, View]]:
        """Return a concatenation's inputs, each with its part of the output."""
        whole = self._view(node.output)
        axis = node.operator.number(0) % len(whole.shape)
        start, parts = 0, []
        for number in node.inputs:
            size = self._tensors[number].shape[axis]
            parts.append((number, whole.part(axis, start, size)))
            start += size
        return parts

    def _reuse(self) -> None:
        """Let a table or a pair write over an input that nobody reads later."""
        last = {self._root(i): n for n in self._nodes for i in self._activations(n)}
        ends = {self._root(i) for i in self._graph.outputs.values()}
        for node in self._nodes:
            if node.name not in (TABLE, *_PAIRS):
                continue
            output = self._root(node.output)
            for number in self._activations(node):
                root = self._root(number)
                same = self._tensors[number].count == self._tensors[node.output].count
                free = last[root] is node and root not in ends and root not in self._places
                if same and free and output not in self._places and root != output:
                    self._same[output] = root
                    break

    def _steps(self, node: Node) -> list[Step]:
        tensors = self._tensors
        y = self._view(node.output)
        if node.name == TABLE:
            return [lookup(self._view(node.inputs[0]), y, node.table)]
        if node.name == "CONCATENATION":
            return [
                move(self._view(number), part)
                for number, part in self._parts(node)
                if self._root(number) not in self._places
                or self._places[self._root(number)] != part
            ]
        operands = [tensors[i] for i in (*node.inputs, node.output) if i >= 0]
        if node.name in _WINDOWS:
            at, make = _WINDOWS[node.name]
            number, pads = self._pads.get(node.inputs[at], (node.inputs[at], Pads()))
            operands[at] = tensors[number]
            return [make(node.operator, operands, pads, self._view(number), y)]
        if node.name in _PAIRS:
            views = [self._view(i) for i in node.inputs]
            return [pair(node.operator, operands, views, y)]
        if node.name in MOVES:
            return MOVES[node.name](node.operator, operands, self._view(node.inputs[0]), y)
        raise ValueError(f"{node.name} has no C kernel")

    def _plan(self) -> tuple[dict[int, int], int, dict[int, int]]:
        """Place the buffers, and the scratch of each step that takes some."""
        inputs, outputs = (
            [self._buffer(self._view(number).buffer) for number in borders.values()]
            for borders in (self._graph.inputs, self._graph.outputs)
        )
        used = [[self._buffer(buffer) for buffer in step.buffers] for step in self.steps]
        lives = lifetimes(used, inputs, outputs, lambda buffer: self._tensors[buffer].count)
        scratch = {-1 - i: Life(s.scratch, i, i) for i, s in enumerate(self.steps) if s.scratch}
        offsets, total = place({**lives, **scratch})
        return offsets, total, {-1 - key: offsets[key] for key in scratch}


def _image_pads(node: Node, tensors: tuple[Tensor, ...]) -> Pads | None:
    """Return a pad's rows and columns, if those are all that it adds."""
    if node.name != "PAD" or tensors[node.inputs[1]].data is None:
        return None
    pairs = tensors[node.inputs[1]].data.ravel().tolist()  # type: ignore[union-attr]
    if len(pairs) != 8 or any(pairs[:2] + pairs[6:]):
        return None
    top, bottom, left, right = pairs[2:6]
    return Pads(top, left, bottom, right)
