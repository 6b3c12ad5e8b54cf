"""The bytes of a TFLite file: read, and written again with nothing in them twice."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_ALIGNMENT = 16  # of constants, as the schema wants it: engines use them where they lie


def read(content: bytes) -> Any:
    """Return a file's model, whose vectors are numpy arrays."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def tidy(model: Any) -> None:
    """Name tensors as the signature does, and leave their shapes to those of one image.

    The converter's names tell nothing, and engines without signatures know outputs by name alone.
    A batch of -1 in a tensor's shape_signature is refused by LiteRT.js; files can be resized
    without it.
    """
    (graph,) = model.subgraphs
    for i, tensor in enumerate(graph.tensors):
        tensor.name = f"t{i}"
        tensor.shapeSignature = None
    for signature in model.signatureDefs:
        for named in (*signature.inputs, *signature.outputs):
            graph.tensors[named.tensorIndex].name = named.name


def write(model: Any) -> bytes:
    """Return a model's file."""
    builder = _Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors once, as the zero points of all kernels with as many channels are."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        """Write a vector, or return where an equal one is."""
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            if x.dtype == np.uint8:  # a buffer's
                self.Prep(_ALIGNMENT, x.nbytes)
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]
