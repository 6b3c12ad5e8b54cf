"""An int8 TFLite file as tensors and operators, for one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import BundleError
from cvae_edge.guard.flatbuffers import Table
from cvae_edge.guard.tflite import buffer_of, check_tflite
from cvae_edge.guard.tflite_names import NAMES
from cvae_edge.model_config import ModelShape

_TYPES: dict[int, type[np.generic]] = {  # by TensorType, those that such a file may hold
    0: np.float32, 2: np.int32, 4: np.int64, 9: np.int8,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A value of the graph; real = scale * (integer - zero_point)."""

    number: int
    shape: tuple[int, ...]  # of one image
    dtype: type[np.generic] | None  # None: of a type that C has no kernel for
    scales: tuple[float, ...]  # float32's values; one, or one for each output channel
    zero_point: int
    data: NDArray[Any] | None  # None: computed

    @property
    def scale(self) -> float:
        """The only scale."""
        return self.scales[0] if self.scales else 0.0

    @property
    def count(self) -> int:
        """How many values it has."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Operator:
    """One of the graph's operators."""

    name: str
    inputs: tuple[int, ...]  # of tensors; -1 for one that is left out
    outputs: tuple[int, ...]
    options: Table | None

    def number(self, place: int, kind: str = "i", default: int = 0) -> Any:
        """Return an option by its place in TensorFlow Lite's schema.fbs."""
        return default if self.options is None else self.options.number(place, kind, default)


@dataclass(frozen=True)
class TFLiteGraph:
    """A file's only graph; inputs and outputs by the names of its signature."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]


def read_graph(file: str, content: bytes, model: ModelShape) -> TFLiteGraph:
    """Read a file that nobody vouches for; see ``guard.check_graph``.

    Raises:
        BundleError: it is damaged, or has operators that no device may run.
    """
    try:
        return _read(content, model)
    except Exception as error:  # a parser of anyone's bytes may raise anything
        reason = str(error) if isinstance(error, ValueError) else f"it is damaged, {error!r}"
        raise BundleError(f"{file} cannot be made into C: {reason}") from error


def _read(content: bytes, model: ModelShape) -> TFLiteGraph:
    shapes = check_tflite(content, model, trusted=False, batch=1)
    data = memoryview(content)
    root = Table.root(data)
    (graph,) = root.tables(2)
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in root.tables(1)]
    made = {i for operator in graph.tables(3) for i in operator.numbers(2, "i")}
    given = {*graph.numbers(1, "i")}
    tensors = tuple(
        _tensor(
            number,
            table,
            shapes.shape(number),
            None if number in made | given else buffer_of(root.tables(4), table, data),
        )
        for number, table in enumerate(graph.tables(0))
    )
    operators = tuple(
        Operator(NAMES[codes[t.number(0, "I")]], t.numbers(1, "i"), t.numbers(2, "i"), t.table(4))
        for t in graph.tables(3)
    )
    signatures = root.tables(7)
    if len(signatures) != 1:
        raise ValueError(f"it must have one signature, got {len(signatures)}")
    return TFLiteGraph(tensors, operators, *(_names(signatures[0], place) for place in (0, 1)))


def _tensor(
    number: int, table: Table, shape: tuple[int, ...], content: memoryview | None
) -> Tensor:
    quantization = table.table(4)
    scales = quantization.numbers(2, "f") if quantization else ()
    zeros = quantization.numbers(3, "q") if quantization else ()
    if any(zero != zeros[0] for zero in zeros):
        raise ValueError("all channels of a tensor must have the same zero point")
    dtype = _TYPES.get(table.number(1, "b"))
    data = None
    if content is not None and dtype is not None:
        count = int(np.prod(shape, dtype=np.int64))
        data = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), count).reshape(shape)
    return Tensor(number, shape, dtype, scales, zeros[0] if zeros else 0, data)


def _names(signature: Table, place: int) -> dict[str, int]:
    return {
        bytes(entry.bytes(0)).decode(): entry.number(1, "I") for entry in signature.tables(place)
    }
