"""The TFLite operators that are known to be harmless, and the shapes that they give. Stdlib only.

Those that ONNX has as well are handed to ``onnx_operators``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cvae_edge.guard import onnx_operators, shapes
from cvae_edge.guard.flatbuffers import Table
from cvae_edge.guard.onnx_graph import Node, Value
from cvae_edge.guard.shapes import Tensors
from cvae_edge.guard.tflite_options import flag, given, integers, put
from cvae_edge.guard.tflite_windows import WINDOWS

# DEQUANTIZE FLOOR L2_NORMALIZATION LOCAL_RESPONSE_NORMALIZATION LOGISTIC RELU RELU_N1_TO_1 RELU6
# SOFTMAX TANH EXP LOG_SOFTMAX NEG SIN LOG SQRT RSQRT FAKE_QUANT LOGICAL_NOT SQUARE ZEROS_LIKE
# LEAKY_RELU ABS CEIL COS ELU QUANTIZE ROUND HARD_SWISH CUMSUM GELU RELU_0_TO_1 SIGN
_SAME = (6, 8, 11, 13, 14, 19, 20, 21, 25, 28, 47, 50, 59, 66, 73, 75, 76, 80, 87, 92, 93, 98, 101,
         104, 108, 111, 114, 116, 117, 128, 150, 152, 158)  # fmt: skip
# ADD SUB DIV PRELU MAXIMUM MINIMUM LESS GREATER GREATER_EQUAL LESS_EQUAL SELECT EQUAL NOT_EQUAL POW
# LOGICAL_OR LOGICAL_AND FLOOR_DIV FLOOR_MOD SQUARED_DIFFERENCE ADD_N SELECT_V2
_BROADCAST = (0, 41, 42, 54, 55, 57, 58, 61, 62, 63, 64, 71, 72, 78, 84, 86, 90, 95, 99, 106, 123)
_REDUCE = (40, 74, 82, 89, 91, 140)  # MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_ANY REDUCE_ALL


def _as_onnx(
    op: str, attributes: Callable[[Table], dict[str, Value]] = lambda operator: {}
) -> Callable[[Table, Tensors], None]:
    """Return what treats an operator as ONNX's of the same meaning."""

    def check(operator: Table, tensors: Tensors) -> None:
        inputs, outputs = operator.numbers(1, "i"), operator.numbers(2, "i")
        # A tensor's name may be anything that a dictionary takes.
        node = Node(op, [*inputs], [*outputs], attributes(operator), {})  # type: ignore[list-item]
        onnx_operators.OPERATORS[op](node, tensors)

    return check


def _axis(operator: Table) -> dict[str, Value]:
    return {"axis": integers(operator, 0)[0]}


def _dense(operator: Table, tensors: Tensors) -> None:
    x, weights = given(operator, tensors)[:2]  # weights are (out, in)
    rows = shapes.reshape(x, (-1, weights[1]))[0]
    tensors.spend(rows * math.prod(weights))
    put(operator, tensors, (*x[:-1], weights[0]) if flag(operator, 2) else (rows, weights[0]))


def _matmul(operator: Table, tensors: Tensors) -> None:
    a, b = given(operator, tensors)
    a = (*a[:-2], a[-1], a[-2]) if flag(operator, 0) else a
    b = (*b[:-2], b[-1], b[-2]) if flag(operator, 1) else b
    result = shapes.matmul(a, b)
    tensors.spend(math.prod(result) * a[-1])
    put(operator, tensors, result)


def _reshape(operator: Table, tensors: Tensors) -> None:
    x, *wanted = operator.numbers(1, "i")
    options = operator.table(4)
    sizes = tensors.values(wanted[0]) if wanted else options.numbers(0, "i") if options else ()
    put(operator, tensors, shapes.reshape(tensors.shape(x), sizes), tensors.known(x))


def _transpose(operator: Table, tensors: Tensors) -> None:
    x, order = operator.numbers(1, "i")
    shape, axes = tensors.shape(x), tensors.values(order)
    if sorted(axes) != [*range(len(shape))]:
        raise ValueError("a transposition must name each axis once")
    put(operator, tensors, tuple(shape[axis] for axis in axes))


def _squeeze(operator: Table, tensors: Tensors) -> None:
    x, options = operator.numbers(1, "i")[0], operator.table(4)
    shape = tensors.shape(x)
    axes = options.numbers(0, "i") if options else ()
    gone = axes or [i for i, size in enumerate(shape) if size == 1]
    result = shapes.reduce(shape, gone, keep=False)
    put(operator, tensors, shapes.reshape(shape, result), tensors.known(x))


def _pack(operator: Table, tensors: Tensors) -> None:
    inputs, axis = operator.numbers(1, "i"), integers(operator, 1)[0]
    parts = [shapes.expand_dims(tensors.shape(i), [axis]) for i in inputs]
    known = [tensors.known(i) for i in inputs]
    values = None if None in known else tuple(v for part in known for v in part or ())
    put(operator, tensors, shapes.concat(parts, axis), values)


def _strided_slice(operator: Table, tensors: Tensors) -> None:
    x, *rest = operator.numbers(1, "i")
    begins, ends, steps = map(tensors.values, rest)
    begin_mask, end_mask, ellipsis, new, shrink = integers(operator, 0, 1, 2, 3, 4)
    if ellipsis or new:
        raise ValueError("a slice must name each axis")
    shape, values = tensors.shape(x), tensors.known(x)
    result = []
    for i, size in enumerate(shape):
        if i >= len(begins):
            result.append(size)
            continue
        begin = None if begin_mask >> i & 1 else begins[i]
        end = None if end_mask >> i & 1 else ends[i]
        if shrink >> i & 1:
            begin = begins[i] % max(1, size)
            end = begin + 1
        taken = range(size)[slice(begin, end, steps[i])]
        values = tuple(values[j] for j in taken) if values and len(shape) == 1 else None
        if not shrink >> i & 1:
            result.append(len(taken))
    put(operator, tensors, tuple(result), values)


def _slice(operator: Table, tensors: Tensors) -> None:
    x, begins, sizes = operator.numbers(1, "i")
    triples = zip(tensors.shape(x), tensors.values(begins), tensors.values(sizes), strict=True)
    put(operator, tensors, tuple(s - max(0, b) if n == -1 else n for s, b, n in triples))


def _split(operator: Table, tensors: Tensors) -> None:
    inputs, outputs = operator.numbers(1, "i"), operator.numbers(2, "i")
    shape = tensors.shape(inputs[1])
    (axis,) = tensors.values(inputs[0])
    axis = shapes.index(axis, len(shape))
    for output in outputs:
        tensors.put(output, (*shape[:axis], shape[axis] // len(outputs), *shape[axis + 1 :]))


def _pad(operator: Table, tensors: Tensors) -> None:
    x, pads = operator.numbers(1, "i")[:2]
    values, shape = tensors.values(pads), tensors.shape(x)
    pairs = zip(shape, values[::2], values[1::2], strict=True)
    put(operator, tensors, tuple(sum(triple) for triple in pairs))


def _resize(operator: Table, tensors: Tensors) -> None:
    x, size = operator.numbers(1, "i")
    shape = tensors.shape(x)
    put(operator, tensors, (shape[0], *tensors.values(size), shape[3]))


def _depth_to_space(operator: Table, tensors: Tensors) -> None:
    n, h, w, c = given(operator, tensors)[0]
    block = max(1, integers(operator, 0)[0])
    put(operator, tensors, (n, h * block, w * block, c // block**2))


def _space_to_depth(operator: Table, tensors: Tensors) -> None:
    n, h, w, c = given(operator, tensors)[0]
    block = max(1, integers(operator, 0)[0])
    put(operator, tensors, (n, h // block, w // block, c * block**2))


def _space_to_batch(operator: Table, tensors: Tensors) -> None:
    x, blocks, pads = operator.numbers(1, "i")
    shape, block, pad = tensors.shape(x), tensors.values(blocks), tensors.values(pads)
    axes = range(len(block))
    sizes = [-(-(shape[1 + i] + pad[2 * i] + pad[2 * i + 1]) // max(1, block[i])) for i in axes]
    batch = shape[0] * math.prod(block)
    put(operator, tensors, (batch, *sizes, *shape[1 + len(block) :]))


def _batch_to_space(operator: Table, tensors: Tensors) -> None:
    x, blocks, crops = operator.numbers(1, "i")
    shape, block, crop = tensors.shape(x), tensors.values(blocks), tensors.values(crops)
    axes = range(len(block))
    sizes = [shape[1 + i] * block[i] - crop[2 * i] - crop[2 * i + 1] for i in axes]
    batch = shape[0] // max(1, math.prod(block))
    put(operator, tensors, (batch, *sizes, *shape[1 + len(block) :]))


def _keep(operator: Table) -> dict[str, Value]:
    return {"keepdims": flag(operator, 0)}


OPERATORS: dict[int, Callable[[Table, Tensors], None]] = {
    **WINDOWS,
    **dict.fromkeys(_SAME, _as_onnx("Abs")),
    **dict.fromkeys(_BROADCAST, _as_onnx("Add")),
    **dict.fromkeys(_REDUCE, _as_onnx("ReduceSum", _keep)),
    81: _as_onnx("ReduceProd", _keep),
    18: _as_onnx("Mul"), 53: _as_onnx("Cast"), 77: _as_onnx("Shape"),
    2: _as_onnx("Concat", _axis), 36: _as_onnx("Gather", _axis), 39: _transpose,
    69: _as_onnx("Tile"), 70: _as_onnx("Unsqueeze"), 130: _as_onnx("Expand"),
    5: _depth_to_space, 26: _space_to_depth, 9: _dense, 126: _matmul, 22: _reshape,
    43: _squeeze, 83: _pack, 45: _strided_slice, 65: _slice, 49: _split,
    34: _pad, 60: _pad, 100: _pad, 23: _resize, 97: _resize,
    38: _space_to_batch, 37: _batch_to_space,
}  # fmt: skip
