"""ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx

from cvae_edge.bundle import Tensor
from cvae_edge.config import require

# The newest opset that tf2onnx writes is 18; 17 is read by onnxruntime since 1.12 (2022).
DEFAULT_OPSET = 17
OPSETS = range(13, 19)  # 13 brought per-channel QuantizeLinear; tf2onnx ends at 18
BATCH = "n"


def to_onnx(network: keras.Model, opset: int | None = None) -> onnx.ModelProto:
    """Convert a network; its tensors keep their names, its batch is free.

    Raises:
        ConfigError: an opset that tf2onnx does not write, or that quantization cannot use.
    """
    opset = DEFAULT_OPSET if opset is None else opset
    require(opset in OPSETS, f"opset must be {OPSETS[0]} to {OPSETS[-1]}", opset)
    inputs = {t.name: t for t in network.inputs}
    signature = [tf.TensorSpec((None, *t.shape[1:]), name=name) for name, t in inputs.items()]
    call = tf.function(lambda *values: network(dict(zip(inputs, values, strict=True))))
    model, _ = tf2onnx.convert.from_function(call, signature, opset=opset)
    return _tidy(model, network)


def _tidy(model: onnx.ModelProto, network: keras.Model) -> onnx.ModelProto:
    """Name the batch, order the outputs as the network has them, drop the converter's marks."""
    outputs = {t.name: t for t in model.graph.output}
    del model.graph.output[:]
    model.graph.output.extend(outputs[name] for name in network.output_names)
    for tensor in [*model.graph.input, *model.graph.output]:
        tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
    model.graph.name = network.name
    model.graph.doc_string = ""
    used = {node.domain for node in model.graph.node}
    for entry in [o for o in model.opset_import if o.domain and o.domain not in used]:
        model.opset_import.remove(entry)
    return model


def describe(model: onnx.ModelProto, facts: Mapping[str, object]) -> bytes:
    """Check the model, store the facts where Netron shows them, and return the file.

    Raises:
        onnx.checker.ValidationError: the graph is not valid ONNX, which is our mistake.
    """
    del model.metadata_props[:]
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=str(value))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def tensors(model: onnx.ModelProto) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the inputs and the outputs of a model."""
    return _tensors(model.graph.input), _tensors(model.graph.output)


def _tensors(values: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            value.name,
            tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim),
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
        )
        for value in values
    )
