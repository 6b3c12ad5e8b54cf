"""ONNX operators that move values and change shapes. Stdlib only; see ``onnx_operators``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cvae_edge.guard import shapes
from cvae_edge.guard.onnx_graph import Node, read_tensor
from cvae_edge.guard.shapes import Tensors


def _reduce(node: Node, tensors: Tensors) -> None:
    shape, values = tensors.shape(node.inputs[0]), tensors.known(node.inputs[0])
    axes = _listed(node, tensors, "axes", 1)
    if axes is None:
        axes = () if node.attributes.get("noop_with_empty_axes") else range(len(shape))
    result = shapes.reduce(shape, axes, bool(node.attributes.get("keepdims", 1)))
    product = node.op == "ReduceProd" and values and math.prod(result) == 1
    tensors.put(node.output, result, [math.prod(values)] if product and values else None)


def _reshape(node: Node, tensors: Tensors) -> None:
    wanted = tensors.values(node.inputs[1])
    zero_keeps = not node.integer("allowzero", 0)
    shape = shapes.reshape(tensors.shape(node.inputs[0]), wanted, zero_keeps)
    tensors.put(node.output, shape, tensors.known(node.inputs[0]))


def _flatten(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    axis = node.integer("axis", 1) % (len(x) + 1)
    tensors.put(node.output, (math.prod(x[:axis]), math.prod(x[axis:])))


def _transpose(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    order = node.numbers("perm", [*range(len(x))][::-1])
    if sorted(order) != [*range(len(x))]:
        raise ValueError("perm must name each axis once")
    tensors.put(node.output, [x[axis] for axis in order])


def _squeeze(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    axes = _listed(node, tensors, "axes", 1)
    gone = [i for i, size in enumerate(x) if size == 1] if axes is None else axes
    result = shapes.reduce(x, gone, keep=False)
    if math.prod(result) != math.prod(x):
        raise ValueError("an axis that goes must have the size 1")
    tensors.put(node.output, result, tensors.known(node.inputs[0]))


def _unsqueeze(node: Node, tensors: Tensors) -> None:
    axes = _listed(node, tensors, "axes", 1) or ()
    shape = shapes.expand_dims(tensors.shape(node.inputs[0]), axes)
    tensors.put(node.output, shape, tensors.known(node.inputs[0]))


def _concat(node: Node, tensors: Tensors) -> None:
    known = [tensors.known(name) for name in node.inputs]
    values = [v for part in known if part is not None for v in part] if None not in known else None
    result = shapes.concat([*map(tensors.shape, node.inputs)], node.integer("axis", 0))
    tensors.put(node.output, result, values)


def _split(node: Node, tensors: Tensors) -> None:
    x, count = tensors.shape(node.inputs[0]), len(node.outputs)
    axis = shapes.index(node.integer("axis", 0), len(x))
    size = -(-x[axis] // max(1, count))
    parts = _listed(node, tensors, "split", 1) or [
        min(size, max(0, x[axis] - i * size)) for i in range(count)
    ]
    if sum(parts) != x[axis] or len(parts) != count:
        raise ValueError("the parts of a split must be the whole")
    for name, part in zip(node.outputs, parts, strict=True):
        tensors.put(name, (*x[:axis], part, *x[axis + 1 :]))


def _slice(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    starts, ends = _listed(node, tensors, "starts", 1), _listed(node, tensors, "ends", 2)
    axes = _listed(node, tensors, "axes", 3) or range(len(starts or ()))
    steps = _listed(node, tensors, "steps", 4) or [1] * len(axes)
    result, values = [*x], tensors.known(node.inputs[0])
    for start, end, axis, step in zip(starts or (), ends or (), axes, steps, strict=True):
        axis = shapes.index(axis, len(x))
        result[axis] = shapes.sliced(x[axis], start, end, step)
        values = values[start:end:step] if values and len(x) == 1 and step > 0 else None
    tensors.put(node.output, result, values)


def _gather(node: Node, tensors: Tensors) -> None:
    x, indices = (tensors.shape(name) for name in node.inputs[:2])
    axis = shapes.index(node.integer("axis", 0), len(x))
    known, wanted = (tensors.known(name) for name in node.inputs[:2])
    values = [known[i] for i in wanted] if known and wanted and len(x) == 1 else None
    tensors.put(node.output, (*x[:axis], *indices, *x[axis + 1 :]), values)


def _pad(node: Node, tensors: Tensors) -> None:
    x, pads = tensors.shape(node.inputs[0]), _listed(node, tensors, "pads", 1) or ()
    rank = len(x)
    axes = (
        tensors.values(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else range(rank)
    )
    result = [*x]
    for i, axis in enumerate(axes):
        result[shapes.index(axis, rank)] += pads[i] + pads[len(axes) + i]
    tensors.put(node.output, result)


def _resize(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    if len(node.inputs) > 3 and node.inputs[3]:
        sizes = tensors.values(node.inputs[3])
    else:
        scales = tensors.values(node.inputs[2])
        sizes = tuple(math.floor(s * factor) for s, factor in zip(x, scales, strict=True))
    if len(sizes) != len(x):
        raise ValueError("a resize must name every size")
    tensors.put(node.output, sizes)


def _tile(node: Node, tensors: Tensors) -> None:
    x, repeats = tensors.shape(node.inputs[0]), tensors.values(node.inputs[1])
    tensors.put(node.output, [s * n for s, n in zip(x, repeats, strict=True)])


def _expand(node: Node, tensors: Tensors) -> None:
    shape = shapes.broadcast(tensors.shape(node.inputs[0]), tensors.values(node.inputs[1]))
    tensors.put(node.output, shape)


def _depth_to_space(node: Node, tensors: Tensors) -> None:
    n, c, h, w = tensors.shape(node.inputs[0])
    block = max(1, node.integer("blocksize", 1))
    to_space = (n, c // block**2, h * block, w * block)
    to_depth = (n, c * block**2, h // block, w // block)
    tensors.put(node.output, to_space if node.op == "DepthToSpace" else to_depth)


def _shape(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    part = x[node.integer("start", 0) : node.integer("end", len(x))]
    tensors.put(node.output, [len(part)], part)


def _constant(node: Node, tensors: Tensors) -> None:
    if "value" in node.tensors:
        tensors.put(node.output, *read_tensor(node.tensors["value"]))
        return
    values = node.numbers("value_ints", [node.integer("value_int", 0)])
    tensors.put(node.output, [len(values)] if "value_ints" in node.attributes else [], values)


def _constant_of_shape(node: Node, tensors: Tensors) -> None:
    tensors.put(node.output, tensors.values(node.inputs[0]))


def _listed(node: Node, tensors: Tensors, name: str, place: int) -> Sequence[int] | None:
    """Return what older versions have as an attribute, and newer ones as an input."""
    if name in node.attributes:
        return node.numbers(name, [])
    there = len(node.inputs) > place and node.inputs[place]
    return tensors.values(node.inputs[place]) if there else None


_REDUCE = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
LAYOUT: dict[str, Callable[[Node, Tensors], None]] = {
    **dict.fromkeys(_REDUCE, _reduce),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _depth_to_space),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Resize": _resize,
    "Tile": _tile,
    "Expand": _expand,
    "Shape": _shape,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
}
