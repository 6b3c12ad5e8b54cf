"""TFLite files of one operator, made by hand: for what no trained model reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from litert_reference import packed

# Versions from which on operators take int8.
VERSIONS = {"ADD": 2, "MUL": 2, "LOGISTIC": 2, "TANH": 2, "LEAKY_RELU": 2, "RELU": 2, "RELU6": 2,
            "RELU_N1_TO_1": 1, "QUANTIZE": 2, "AVERAGE_POOL_2D": 2, "MAX_POOL_2D": 2, "MEAN": 2,
            "RESIZE_BILINEAR": 2, "RESIZE_NEAREST_NEIGHBOR": 2, "TRANSPOSE": 2,
            "STRIDED_SLICE": 2, "SLICE": 2, "SPACE_TO_DEPTH": 2, "GELU": 2,
            "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 3, "CONV_2D": 3}  # fmt: skip


class OneOperator:
    """Collects tensors; ``content`` gives the file."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers = [schema.BufferT()]

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: float | list[float] = 0.0,
        zero: int = 0,
        data: np.ndarray | None = None,
        axis: int = 0,
    ) -> int:
        t = schema.TensorT()
        t.name = f"t{len(self._tensors)}".encode()
        t.shape = list(shape)
        t.type = schema.TensorType.INT8
        if data is not None:
            kinds = {np.int8: schema.TensorType.INT8, np.int32: schema.TensorType.INT32}
            t.type = kinds[data.dtype.type]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(self._buffers)
            self._buffers.append(buffer)
        if scale:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = [float(s) for s in np.atleast_1d(scale)]
            t.quantization.zeroPoint = [zero] * len(t.quantization.scale)
            t.quantization.quantizedDimension = axis
        self._tensors.append(t)
        return len(self._tensors) - 1

    def content(self, name: str, inputs: list[int], output: int, options: Any = None) -> bytes:
        """Return the file; what of ``inputs`` is no constant is its input z."""
        model, graph = schema.ModelT(), schema.SubGraphT()
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = VERSIONS[name]
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        given = list(dict.fromkeys(i for i in inputs if not self._tensors[i].buffer))
        graph.tensors, graph.operators = self._tensors, [operator]
        graph.inputs, graph.outputs = given, [output]
        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        names = ["z", "eps"]
        signature.inputs = [_entry(n, i) for n, i in zip(names, given, strict=False)]
        signature.outputs = [_entry("x_logits", output)]
        model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
        model.buffers, model.signatureDefs = self._buffers, [signature]
        return packed(model)


def options(name: str, **values: Any) -> Any:
    """Return an operator's options."""
    made = getattr(schema, f"{name}T")()
    for key, value in values.items():
        setattr(made, key, value)
    return made


def _entry(name: str, number: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), number
    return entry
