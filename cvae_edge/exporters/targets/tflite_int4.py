"""Kernels of 4 bits in TFLite files, which the converter does not write."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from cvae_edge.exporters.targets.packing import INT4_LEVELS, pack

_BYTE_LEVELS = 127
_KERNEL, _BIAS = 1, 2  # places among an operator's inputs
_LINEAR = {
    getattr(schema.BuiltinOperator, name)
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
}


def to_int4(model: Any) -> None:
    """Store the kernels of an int8 file's model in 4 bits, with scales for each channel as before.

    A kernel that was rounded to -7 to 7 in the network has, as int8, the nearest multiples of
    127 / 7: dividing by that gives back its integers.
    """
    (graph,) = model.subgraphs
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    linear = [op for op in graph.operators if codes[op.opcodeIndex] in _LINEAR]
    kernels = _tensors(graph, linear, _KERNEL, schema.TensorType.INT8)
    biases = _tensors(graph, linear, _BIAS, schema.TensorType.INT32)
    found = [_rescaled(model, kernel, np.int8) for kernel in kernels]
    found += [_rescaled(model, bias, np.int32) for bias in biases]  # in steps of their kernels'
    for tensor, integers in zip([*kernels, *biases], found, strict=True):
        is_kernel = integers.dtype == np.int8
        model.buffers[tensor.buffer].data = pack(integers) if is_kernel else integers.view(np.uint8)
        tensor.type = schema.TensorType.INT4 if is_kernel else tensor.type


def _tensors(graph: Any, operators: list[Any], place: int, type: int) -> list[Any]:
    """Return the tensors that operators have at one place, each once."""
    indices = {op.inputs[place] for op in operators if len(op.inputs) > place}
    tensors = [graph.tensors[i] for i in sorted(indices) if i >= 0]
    return [tensor for tensor in tensors if tensor.type == type]


def _rescaled(model: Any, tensor: Any, dtype: Any) -> NDArray[Any]:
    """Give a tensor the steps of 4 bits; return its integers in them."""
    values = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype)
    scales = np.asarray(tensor.quantization.scale, np.float32)
    tensor.quantization.scale = scales * np.float32(_BYTE_LEVELS / INT4_LEVELS)
    rescaled: NDArray[Any] = np.rint(values * (INT4_LEVELS / _BYTE_LEVELS)).astype(dtype)
    return rescaled
