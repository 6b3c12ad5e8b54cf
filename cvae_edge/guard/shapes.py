"""How large the tensors of a graph become, without running it. Stdlib only.

Every shape is exact, for a batch of ``BATCH``: a graph whose tensors grow faster than the batch
does is found out by the same bound as one whose tensors are large.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from cvae_edge.model_config import ModelShape

Shape = tuple[int, ...]

BATCH = 64
_MAX_RANK = 8
MAX_VALUES = 64  # of an integer tensor that may become a shape
# An image's tensor may have this many values for each of the image's, and as many products: a
# hundred times what the networks of this package's presets have.
_VALUES, _PRODUCTS = 1 << 12, 1 << 24
_LEAST, _MOST = 1 << 20, 1 << 28  # values, whatever the image: 4 MB and 1 GB


class Tensors:
    """The shapes of a graph's tensors, and the values of those that become shapes.

    Raises:
        ValueError: in every method: a tensor is unknown, too large, or too much work.
    """

    def __init__(self, model: ModelShape) -> None:
        pixels = math.prod(model.image_shape)
        self._most = BATCH * min(_MOST, max(_LEAST, _VALUES * pixels))
        self._work = BATCH * max(1 << 30, _PRODUCTS * pixels)
        self._shapes: dict[Hashable, Shape] = {}
        self._values: dict[Hashable, Shape] = {}

    def put(self, key: Hashable, shape: Sequence[int], values: Sequence[int] | None = None) -> None:
        """Set a tensor's shape and, where they are known and few, its values."""
        if key in self._shapes:
            raise ValueError(f"the tensor {key!r} is made twice")
        if len(shape) > _MAX_RANK or any(size < 0 for size in shape):
            raise ValueError(f"a tensor's shape must have at most {_MAX_RANK} sizes, got {shape}")
        if math.prod(shape) > self._most:
            raise ValueError(
                f"a tensor must have at most {self._most // BATCH:,} values an image, got "
                f"{math.prod(shape) // BATCH:,}"
            )
        self.spend(math.prod(shape))
        self._shapes[key] = tuple(shape)
        if values is not None and len(values) <= MAX_VALUES and len(values) == math.prod(shape):
            self._values[key] = tuple(values)

    def spend(self, products: int) -> None:
        """Count work."""
        self._work -= products
        if self._work < 0:
            raise ValueError("it must not compute so much an image")

    def shape(self, key: Hashable) -> Shape:
        """Return a tensor's shape."""
        if key not in self._shapes:
            raise ValueError(f"the tensor {key!r} is used before it is made")
        return self._shapes[key]

    def values(self, key: Hashable) -> Shape:
        """Return the values of a tensor that says how large another one is."""
        if key not in self._values:
            raise ValueError(f"the tensor {key!r} must have values that are known beforehand")
        return self._values[key]

    def known(self, key: Hashable) -> Shape | None:
        """Return a tensor's values, if they are known."""
        return self._values.get(key)


def broadcast(*shapes: Shape) -> Shape:
    """Return numpy's broadcast shape."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(s)) + s for s in shapes), strict=True)
    result = []
    for sizes in columns:
        others = {size for size in sizes if size != 1}
        if len(others) > 1:
            raise ValueError(f"the shapes {shapes} must fit together")
        result.append(others.pop() if others else 1)
    return tuple(result)


def matmul(a: Shape, b: Shape) -> Shape:
    """Return the shape of a product of matrices, (..., n, k) by (..., k, m)."""
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ValueError(f"the matrices {a} and {b} must fit together")
    return (*broadcast(a[:-2], b[:-2]), a[-2], b[-1])


def reshape(shape: Shape, wanted: Sequence[int], zero_keeps: bool = False) -> Shape:
    """Return the new shape, of which one size may be -1; 0 may stand for the old size."""
    sizes = [shape[i] if zero_keeps and size == 0 else size for i, size in enumerate(wanted)]
    count, known = math.prod(shape), math.prod(s for s in sizes if s != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes[sizes.index(-1)] = count // known
    if min(sizes, default=0) < 0 or math.prod(sizes) != count:
        raise ValueError(f"the shape {shape} must have as many values as {tuple(wanted)}")
    return tuple(sizes)


def concat(shapes: Sequence[Shape], axis: int) -> Shape:
    """Return the shape of tensors that are put together along an axis."""
    axis = index(axis, len(shapes[0]))
    rests = {(s[:axis], s[axis + 1 :]) for s in shapes}
    if len(rests) != 1:
        raise ValueError(f"the shapes {list(shapes)[:3]} must fit together")
    return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])


def reduce(shape: Shape, axes: Sequence[int], keep: bool) -> Shape:
    """Return the shape that is left when axes are summed over."""
    gone = {index(axis, len(shape)) for axis in axes}
    return tuple(1 if i in gone else s for i, s in enumerate(shape) if keep or i not in gone)


def expand_dims(shape: Shape, axes: Sequence[int]) -> Shape:
    """Return the shape with sizes of 1 put in at the axes of the result."""
    rank = len(shape) + len(axes)
    new = {index(axis, rank) for axis in axes}
    rest = iter(shape)
    return tuple(1 if i in new else next(rest) for i in range(rank))


def sliced(size: int, start: int, end: int, step: int) -> int:
    """Return how much of an axis a slice takes."""
    return len(range(size)[slice(start, None if step < 0 and end < -size else end, step)])


def window(size: int, kernel: int, stride: int, dilation: int, pads: int | None) -> int:
    """Return how often a window fits; pads None are SAME's, as many as a stride of 1 needs."""
    if min(kernel, stride, dilation) < 1:
        raise ValueError("a window must have sizes of at least 1")
    if pads is None:
        return -(-size // stride)
    return max(0, (size + pads - (kernel - 1) * dilation - 1) // stride + 1)


def index(axis: int, rank: int) -> int:
    """Return an axis counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"an axis must lie within {rank} sizes, got {axis}")
    return axis % rank
