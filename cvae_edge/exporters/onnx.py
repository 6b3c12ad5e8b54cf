"""ONNX files in float32: tf2onnx's graph, made clean."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from cvae_edge.config import require
from cvae_edge.manifest import Tensor
from cvae_edge.quiet import quiet

DEFAULT_OPSET = 17  # onnxruntime reads it since 1.12 (2022)
OPSETS = range(13, 19)  # 13 brought per-channel QuantizeLinear; tf2onnx ends at 18
BATCH = "n"


def to_onnx(network: keras.Model, opset: int | None = None) -> onnx.ModelProto:
    """Convert a network; its tensors keep their names, its batch is free.

    Raises:
        ConfigError: an opset that tf2onnx does not write, or that quantization cannot use.
    """
    opset = DEFAULT_OPSET if opset is None else opset
    require(opset in OPSETS, f"opset must be {OPSETS[0]} to {OPSETS[-1]}", opset)
    names = [t.name for t in network.inputs]
    signature = [tf.TensorSpec((None, *t.shape[1:]), name=t.name) for t in network.inputs]
    model: onnx.ModelProto
    call = tf.function(lambda *values: network(dict(zip(names, values, strict=True))))
    with quiet():
        model, _ = tf2onnx.convert.from_function(call, signature, opset=opset)
    _fuse_biases(model.graph)
    _rename(model.graph, network)
    _tidy(model, network)
    return model


def _fuse_biases(graph: onnx.GraphProto) -> None:
    """Put each bias into its layer: an Add of its own would round once more in int8."""
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for add in [node for node in graph.node if node.op_type == "Add"]:
        layer, bias = makers.get(add.input[0]), constants.get(add.input[1])
        if layer is None or bias is None or len(layer.input) != 2:
            continue
        if layer.op_type == "MatMul":
            layer.op_type = "Gemm"
        elif layer.op_type in ("Conv", "ConvTranspose"):
            bias.dims[:] = [int(np.prod(bias.dims))]  # (1, c, 1, 1) to (c,)
        else:
            continue
        layer.input.append(bias.name)
        layer.output[0] = add.output[0]
        graph.node.remove(add)


def _rename(graph: onnx.GraphProto, network: keras.Model) -> None:
    """Name tensors after their Keras layers: up_1, up_1/Conv before its ReLU, up_1/kernel."""
    layers = {layer.name for layer in network.layers}
    constants = {tensor.name for tensor in graph.initializer}
    fixed = {t.name for t in (*graph.input, *graph.output)}
    names = {name: name for name in fixed}

    def name_tensor(old: str, new: str) -> None:
        if old not in names:
            taken = set(names.values())
            numbered = itertools.chain([new], (f"{new}_{i}" for i in itertools.count(2)))
            names[old] = next(name for name in numbered if name not in taken)

    owners = [_owner(node, layers) for node in graph.node]
    for i, (node, layer) in enumerate(zip(graph.node, owners, strict=True)):
        is_last = layer not in owners[i + 1 :] and layer not in fixed
        name_tensor(node.output[0], layer if is_last else f"{layer}/{node.op_type}")
        parts = ("shape",) if node.op_type == "Reshape" else ("kernel", "bias")
        for name, part in zip(node.input[1:], parts, strict=False):
            if name in constants:
                name_tensor(name, f"{layer}/{part}")
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = f"{node.output[0]}:{node.op_type}"
    del graph.value_info[:]


def _owner(node: onnx.NodeProto, layers: set[str]) -> str:
    """Name the layer that a node comes from; a fused node has it in its constants alone."""
    found = (_layer_of(name, layers) for name in (*node.output, *node.input[1:]))
    return next((layer for layer in found if layer), node.output[0])


def _layer_of(name: str, layers: set[str]) -> str | None:
    """Find the layer in a TensorFlow name such as decoder_1/up_1_1/Relu:0."""
    found = re.match(r"[^/]+/(.+?)(_\d+)?/", name)
    if not found:
        return None
    return next((n for n in (found[1] + (found[2] or ""), found[1]) if n in layers), None)


def _tidy(model: onnx.ModelProto, network: keras.Model) -> None:
    """Name the batch, order inputs and outputs as the network has them, drop unused domains."""
    graph = model.graph
    outputs = {t.name: t for t in graph.output}
    del graph.output[:]
    graph.output.extend(outputs[name] for name in network.output_names)
    for tensor in (*graph.input, *graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
    graph.name = network.name
    graph.doc_string = ""
    used = {node.domain for node in graph.node}
    for entry in [o for o in model.opset_import if o.domain and o.domain not in used]:
        model.opset_import.remove(entry)


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


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operator set."""
    return next(int(entry.version) for entry in model.opset_import if not entry.domain)


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
