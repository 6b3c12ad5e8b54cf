"""Steps of operators that only move values, and of the few that combine them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cvae_edge.c.integers import Multiplier, activation_range, multiplier
from cvae_edge.c.pointwise import add_multipliers, product_multiplier
from cvae_edge.c.steps import Step, fill, move, pair_axes
from cvae_edge.c.tflite_graph import Operator, Tensor
from cvae_edge.c.views import View, dense_strides

_LARGEST_SHIFT = 14  # of a product of two values less their zero points, to fit into 32 bits


def pad(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the steps that put an image into a larger one of zeros."""
    pairs = _values(tensors[1])
    inner = y
    for axis, size in enumerate(x.shape):
        inner = inner.part(axis, pairs[2 * axis], size)
    return [fill(y, tensors[-1].zero_point), move(x, inner)]


def strided(operator: Operator, tensors: Sequence[Tensor], x: View, shape: tuple[int, ...]) -> View:
    """Return what STRIDED_SLICE takes: a part of each axis."""
    begins, ends, steps = (_values(t) for t in tensors[1:4])
    begin_mask, end_mask, ellipsis, new, shrunk = (operator.number(p) for p in range(5))
    if ellipsis or new or shrunk or min(steps) < 1:
        raise ValueError("STRIDED_SLICE must take every axis forwards")
    offset, strides = x.offset, list(x.strides)
    for i, step in enumerate(steps):
        begin = None if begin_mask >> i & 1 else begins[i]
        end = None if end_mask >> i & 1 else ends[i]
        offset += range(x.shape[i])[slice(begin, end, step)].start * x.strides[i]
        strides[i] *= step
    return View(x.buffer, offset, shape, tuple(strides))


def strided_slice(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that takes a part of each axis."""
    return [move(strided(operator, tensors, x, y.shape), y)]


def slice_(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that takes a part of each axis."""
    begins = _values(tensors[1])
    offset = x.offset + sum(b * s for b, s in zip(begins, x.strides, strict=True))
    return [move(View(x.buffer, offset, y.shape, x.strides), y)]


def transpose(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that changes the order of axes."""
    order = _values(tensors[1])
    return [move(View(x.buffer, x.offset, y.shape, tuple(x.strides[i] for i in order)), y)]


def depth_to_space(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that makes blocks of pixels of channels."""
    b = operator.number(0)
    _, h, w, c = x.shape
    shape = (h, b, w, b, c // (b * b))
    rows, columns, channels = x.strides[1:]
    block = channels * shape[4]
    strides = (rows, b * block, columns, block, channels)
    return [move(View(x.buffer, x.offset, shape, strides), _as(y, shape))]


def space_to_depth(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that makes channels of blocks of pixels."""
    b = operator.number(0)
    _, h, w, c = x.shape
    shape = (h // b, w // b, b, b, c)
    rows, columns, channels = x.strides[1:]
    strides = (b * rows, b * columns, rows, columns, channels)
    return [move(View(x.buffer, x.offset, shape, strides), _as(y, shape))]


def tile(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that repeats whole axes."""
    shape: list[int] = []
    strides: list[int] = []
    for times, size, stride in zip(_values(tensors[1]), x.shape, x.strides, strict=True):
        shape += [times, size]
        strides += [0, stride]
    return [move(View(x.buffer, x.offset, tuple(shape), tuple(strides)), _as(y, shape))]


def resize_nearest(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step that repeats pixels; other sizes than multiples have no kernel."""
    _, h, w, c = x.shape
    s, t = y.shape[1] // h, y.shape[2] // w
    if (s * h, t * w) != y.shape[1:3] or operator.number(0, "b"):
        raise ValueError("RESIZE_NEAREST_NEIGHBOR must enlarge by whole numbers")
    shape, (_, rows, columns, channels) = (h, s, w, t, c), x.strides
    return [move(View(x.buffer, x.offset, shape, (rows, 0, columns, 0, channels)), _as(y, shape))]


def resize_bilinear(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return a bilinear resize's step (ResizeBilinearInteger)."""
    align, half_pixel = operator.number(2, "b"), operator.number(3, "b")

    def scale(size: int, wanted: int) -> int:
        if align and wanted > 1:
            return (1024 * (size - 1) + (wanted - 1) // 2) // (wanted - 1)
        return (1024 * size + wanted // 2) // wanted

    _, h, w, c = x.shape
    options = {
        "in_h": h, "in_w": w, "channels": c, "out_h": y.shape[1], "out_w": y.shape[2],
        "scale_h": scale(h, y.shape[1]), "scale_w": scale(w, y.shape[2]),
        "half_pixel": int(bool(half_pixel)),
    }  # fmt: skip
    return [Step("cvae_resize_bilinear", options, (x,), y, "cvae_resize")]


def mean(operator: Operator, tensors: Sequence[Tensor], x: View, y: View) -> list[Step]:
    """Return the step of a mean over all pixels (QuantizedMeanOrSum)."""
    image, axes, output = tensors
    if sorted(a % len(image.shape) for a in _values(axes)) != [1, 2] or image.shape[0] != 1:
        raise ValueError("MEAN must be over an image's pixels")
    pixels = image.shape[1] * image.shape[2]
    by = multiplier(float(image.scale / output.scale))
    shift = min(pixels.bit_length() - 1, 32, 31 + by.shift)
    options = {
        "pixels": pixels, "channels": image.shape[3],
        "in_zero_point": image.zero_point, "out_zero_point": output.zero_point,
        "multiplier": (by.integer << shift) // pixels, "shift": by.shift - shift,
    }  # fmt: skip
    return [Step("cvae_mean", options, (x,), y, "cvae_reduce")]


def pair(operator: Operator, tensors: Sequence[Tensor], operands: Sequence[View], y: View) -> Step:
    """Return the step of a sum or a product of two tensors, either of which may be repeated."""
    a, b, output = tensors
    lowest, highest = activation_range(operator.number(0, "b"), output.scale, output.zero_point)
    nothing = Multiplier(0, 0)
    if operator.name == "ADD":
        first, second, last = add_multipliers(a, b, output)
    else:
        first, second, last = nothing, nothing, product_multiplier(a, b, output)
    if max(first.shift, second.shift) > 0 or last.shift > _LARGEST_SHIFT:
        raise ValueError(f"{operator.name} must have scales that are nearer to each other")
    options = {
        **pair_axes(y.shape, *(_repeated(v, y.shape) for v in operands)),
        "first_offset": -a.zero_point, "second_offset": -b.zero_point,
        "out_offset": output.zero_point, "lowest": lowest, "highest": highest,
        "first_multiplier": first.integer, "second_multiplier": second.integer,
        "out_multiplier": last.integer, "first_shift": first.shift,
        "second_shift": second.shift, "out_shift": last.shift,
    }  # fmt: skip
    constants = [t.data for t in (a, b)]
    reads = tuple(v if d is None else d for v, d in zip(operands, constants, strict=True))
    function = "cvae_add" if operator.name == "ADD" else "cvae_multiply"
    return Step(function, options, reads, y, "cvae_pair")


def _repeated(view: View, shape: Sequence[int]) -> tuple[int, ...]:
    """Return a view's strides in the larger shape that it is broadcast to."""
    missing = len(shape) - len(view.shape)
    return (0,) * missing + tuple(
        0 if n == 1 else s for n, s in zip(view.shape, view.strides, strict=True)
    )


def _as(view: View, shape: Sequence[int]) -> View:
    if math.prod(shape) != math.prod(view.shape) or not view.is_dense:
        raise ValueError("a tensor that is moved must lie in one piece")
    return View(view.buffer, view.offset, tuple(shape), dense_strides(shape))


def _values(tensor: Tensor) -> list[int]:
    if tensor.data is None:
        raise ValueError("sizes and axes must be constants")
    return [int(v) for v in tensor.data.ravel()]


MOVES: dict[str, Callable[..., list[Step]]] = {
    "PAD": pad, "STRIDED_SLICE": strided_slice, "SLICE": slice_, "TRANSPOSE": transpose,
    "DEPTH_TO_SPACE": depth_to_space, "SPACE_TO_DEPTH": space_to_depth, "TILE": tile,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest, "RESIZE_BILINEAR": resize_bilinear, "MEAN": mean,
}  # fmt: skip
