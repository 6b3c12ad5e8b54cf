"""ONNX files in float16, dynamic range and int8, through onnxruntime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from cvae_edge.elbo import Array
from cvae_edge.exporters.calibration import Range
from cvae_edge.quiet import quiet

_MOVES = ("Reshape", "Transpose", "DepthToSpace", "Concat")  # they move values and change none


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights and compute in float16; inputs and outputs stay float32."""
    half = ONNXModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()  # the casts come last
    result: onnx.ModelProto = half.model
    return result


def to_dynamic_range(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make the dense layers integer, with ranges found anew for each batch.

    Convolutions stay float: onnxruntime's ConvInteger takes 4 to 5 times as long. Kernels
    are u8.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["Gemm", "MatMul"],
            per_channel=True,
            weight_type=QuantType.QUInt8,  # u8 * u8 takes the kernels that cannot saturate
        )
        return onnx.load(path)


def to_int8(
    model: onnx.ModelProto, ranges: Mapping[str, Range], inputs: Mapping[str, Array]
) -> onnx.ModelProto:
    """Make convolutions integer, in QDQ form: u8 activations, s8 kernels per channel, of 7 bits.

    Dense layers store s8 kernels per channel and compute with floats; see ``quantization.SCHEMES``.

    Args:
        model: in float32, equalized.
        ranges: by marked activation; each overrides what onnxruntime would calibrate.
        inputs: a calibration set, which onnxruntime wants for the tensors without a range.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        quantize_static(
            model,
            path,
            CalibrationBatches({t.name: inputs[t.name] for t in model.graph.input}),
            op_types_to_quantize=["Conv", "ConvTranspose", "Relu", *_MOVES],
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={"TensorQuantOverrides": _overrides(model.graph, ranges)},
        )
        quantized = onnx.load(path)
    for node in [node for node in quantized.graph.node if node.op_type == "Gemm"]:
        _store_as_int8(quantized.graph, node)
    return quantized


def _store_as_int8(graph: onnx.GraphProto, dense: onnx.NodeProto) -> None:
    """Make a dense layer's kernel (inputs, units) of s8 integers and a scale for each unit.

    By Cast and Mul: onnxruntime computes them once, when it opens the file, but a DequantizeLinear
    at every run.
    """
    name = dense.input[1]
    tensor = next(t for t in graph.initializer if t.name == name)
    kernel = onnx.numpy_helper.to_array(tensor)
    scale = np.maximum(np.abs(kernel).max(axis=0) / 127, np.finfo(np.float32).tiny)
    scale = scale.astype(np.float32)
    integers, scales, floats = f"{name}_quantized", f"{name}_scale", f"{name}_float"
    graph.initializer.remove(tensor)
    graph.initializer.append(
        onnx.numpy_helper.from_array(np.rint(kernel / scale).astype(np.int8), integers)
    )
    graph.initializer.append(onnx.numpy_helper.from_array(scale, scales))
    cast = onnx.helper.make_node(
        "Cast", [integers], [floats], name=f"{floats}:Cast", to=onnx.TensorProto.FLOAT
    )
    multiply = onnx.helper.make_node("Mul", [floats, scales], [name], name=f"{name}:Mul")
    graph.node.insert(0, cast)
    graph.node.insert(1, multiply)


def _overrides(
    graph: onnx.GraphProto, ranges: Mapping[str, Range]
) -> dict[str, list[dict[str, object]]]:
    """Give each activation its range, and the same to what only moves its values."""
    overrides: dict[str, list[dict[str, object]]] = {}

    def give(name: str, low: float, high: float) -> None:
        overrides[name] = [{"rmin": np.float32(low), "rmax": np.float32(high)}]

    for name, (low, high) in ranges.items():
        give(name, low, high)
    for node in graph.node:
        if node.op_type in _MOVES and node.input[0] in overrides:
            overrides[node.output[0]] = overrides[node.input[0]]
    for node in reversed(graph.node):
        if node.op_type in _MOVES and node.output[0] in overrides:
            # A Reshape's second input is its shape.
            moved = node.input if node.op_type == "Concat" else node.input[:1]
            for name in moved:
                overrides.setdefault(name, overrides[node.output[0]])
    for node in graph.node:
        # Output channels come first in a convolution's kernel, second in a transposed one's.
        axis = {"Conv": 0, "ConvTranspose": 1}.get(node.op_type)
        if axis is not None:
            overrides[node.input[1]] = [
                {
                    "quant_type": QuantType.QInt8,
                    "axis": axis,
                    "symmetric": True,
                    "reduce_range": True,
                }
            ]
    return overrides


class CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """A calibration set, a few images at a time."""

    def __init__(self, inputs: Mapping[str, Array], size: int = 100) -> None:
        n = len(next(iter(inputs.values())))
        self._batches: Iterator[dict[str, Array]] = (
            {name: value[low : low + size] for name, value in inputs.items()}
            for low in range(0, n, size)
        )

    def get_next(self) -> dict[str, Array] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)
