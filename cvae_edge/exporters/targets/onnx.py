"""ONNX: tf2onnx's graph, made clean, in float32, float16, int8, and with int8 or int4 weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort
import tensorflow as tf
import tf2onnx
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from cvae_edge.codec import Graph
from cvae_edge.config import require
from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.layout import channels_first
from cvae_edge.exporters.passes.quantize import Scheme
from cvae_edge.exporters.targets import onnx_int8
from cvae_edge.exporters.targets.onnx_operators import count_operators
from cvae_edge.exporters.targets.packing import INT4_LEVELS
from cvae_edge.exporters.targets.target import File, Target
from cvae_edge.manifest import Artifact, Tensor
from cvae_edge.quiet import quiet

DEFAULT_OPSET = 17  # onnxruntime reads it since 1.12 (2022)
OPSETS = range(13, 19)  # 13 brought per-channel QuantizeLinear; tf2onnx ends at 18
BATCH = "n"
_END = 2**31 - 1  # as far as a Slice goes
# 7 bits: AVX2 kernels without VNNI add two u8 * s8 products in 16 bits. 2 * 255 * 64 = 32,640 fits,
# 2 * 255 * 127 saturates: this is right on every processor. Rounding z costs the most nats, so a
# dense layer is integer only where what it takes is rounded for a convolution anyhow.
_INT8 = Scheme(conv_levels=64, activations="convolutions")
_INT4 = Scheme(INT4_LEVELS, INT4_LEVELS, activations="none")
INT4_OPSET = 21  # which brought 4 bits; onnxruntime reads it since 1.20 (2024)


def emit(
    network: keras.Model,
    precision: str,
    *,
    opset: int | None = None,
    facts: Mapping[str, object] | None = None,
    **_: Any,
) -> File:
    """Convert a network; its tensors keep their names, its batch is free.

    Args:
        network: lowered; for int8 also marked.
        precision: one of the target's.
        opset: the operator set; None takes 17. Files in int4 always have 21.
        facts: what Netron shows beside the graph.

    Raises:
        ConfigError: an opset that tf2onnx does not write, or that quantization cannot use.
    """
    opset = DEFAULT_OPSET if opset is None else opset
    require(opset in OPSETS, f"opset must be {OPSETS[0]} to {OPSETS[-1]}", opset)
    # onnxruntime's convolutions of integers have channels last, those of floats first.
    model = _convert(network if precision == "int8" else channels_first(network), opset)
    if precision == "float16":
        model = to_float16(model)
    elif precision == "dynamic_range":
        onnx_int8.store_kernels(model.graph)
    elif precision == "int8":
        onnx_int8.to_int8(model, _INT8)
    elif precision == "int4":
        model = onnx.version_converter.convert_version(model, INT4_OPSET)
        onnx_int8.store_kernels(model.graph, INT4_LEVELS)
    _shorten_names(model.graph)
    del model.metadata_props[:]
    for name, value in (facts or {}).items():
        model.metadata_props.add(key=name, value=str(value))
    onnx.checker.check_model(model, full_check=True)  # what fails here is our mistake
    version = next(int(entry.version) for entry in model.opset_import if not entry.domain)
    inputs, outputs = tensors(model.graph.input), tensors(model.graph.output)
    return File(model.SerializeToString(), inputs, outputs, version)


def _convert(network: keras.Model, opset: int) -> onnx.ModelProto:
    names = [t.name for t in network.inputs]
    signature = [tf.TensorSpec((None, *t.shape[1:]), name=t.name) for t in network.inputs]
    call = tf.function(lambda *values: network(dict(zip(names, values, strict=True))))
    with quiet():
        model: onnx.ModelProto = tf2onnx.convert.from_function(call, signature, opset=opset)[0]
    _replace_erfc(model.graph)
    _fuse_biases(model.graph)
    _even_pads(model.graph)
    _tidy(model, network)
    return model


def _replace_erfc(graph: onnx.GraphProto) -> None:
    """Write erfc(x), which ONNX does not have and Keras' GELU needs, as 1 - erf(x)."""
    for node in [node for node in graph.node if node.op_type == "Erfc"]:
        (result,) = node.output
        node.op_type, node.output[0] = "Erf", f"{result}_erf"
        one = onnx.numpy_helper.from_array(np.ones((), np.float32), f"{result}_one")
        graph.initializer.append(one)
        subtract = onnx.helper.make_node("Sub", [one.name, node.output[0]], [result])
        graph.node.insert(list(graph.node).index(node) + 1, subtract)


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


def _even_pads(graph: onnx.GraphProto) -> None:
    """Give each ConvTranspose equal pads, and cut off behind it what that adds.

    ncnn and IREE refuse unequal ones, as Keras' 'same' has them for an odd kernel. Where the kernel
    is smaller than the stride, tf2onnx writes a negative pad, which nothing takes, for
    output_padding.
    """
    for node in [node for node in graph.node if node.op_type == "ConvTranspose"]:
        (pads,) = (a.ints for a in node.attribute if a.name == "pads")
        half = len(pads) // 2
        begins, ends = pads[:half], [max(0, pad) for pad in pads[half:]]
        added = [max(0, -pad) for pad in pads[half:]]
        if any(added):
            node.attribute.append(onnx.helper.make_attribute("output_padding", added))
        common = [min(pair) for pair in zip(begins, ends, strict=True)]
        fronts, backs = (
            [pad - c for pad, c in zip(side, common, strict=True)] for side in (begins, ends)
        )
        pads[:] = common * 2
        if any(fronts) or any(backs):
            _cut(graph, node, fronts, backs)


def _cut(graph: onnx.GraphProto, node: onnx.NodeProto, fronts: list[int], backs: list[int]) -> None:
    """Cut off the first and last rows and columns of what a node gives."""
    (result,) = node.output
    node.output[0] = f"{result}_whole"
    bounds = {
        "starts": fronts,
        "ends": [-back or _END for back in backs],
        "axes": list(range(2, 2 + len(fronts))),
    }
    for name, values in bounds.items():
        tensor = onnx.numpy_helper.from_array(np.array(values, np.int64), f"{result}_{name}")
        graph.initializer.append(tensor)
    names = [node.output[0], *(f"{result}_{name}" for name in bounds)]
    graph.node.insert(
        list(graph.node).index(node) + 1, onnx.helper.make_node("Slice", names, [result])
    )


def _tidy(model: onnx.ModelProto, network: keras.Model) -> None:
    """Name the batch, order inputs and outputs as the network has them, drop unused domains."""
    graph = model.graph
    outputs = {t.name: t for t in graph.output}
    del graph.output[:]
    graph.output.extend(outputs[name] for name in network.output)
    for tensor in (*graph.input, *graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
    graph.name = network.name
    graph.doc_string = ""
    used = {node.domain for node in graph.node}
    for entry in [o for o in model.opset_import if o.domain and o.domain not in used]:
        model.opset_import.remove(entry)


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Name tensors and nodes after their operators, such as Conv_3: TensorFlow's names are long."""
    fixed = {t.name for t in (*graph.input, *graph.output)}
    names = {name: name for name in fixed}
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
        for j, name in enumerate(node.output):
            names.setdefault(name, f"{node.name}{f'_{j}' if j else ''}")
        for j, name in enumerate(node.input[1:], 1):
            names.setdefault(name, f"{node.name}_{j}")
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"constant_{len(names)}")
    for node in graph.node:
        node.input[:] = [names[name] if name else "" for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    del graph.value_info[:]


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights and compute in float16; inputs and outputs stay float32."""
    half = ONNXModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()  # the casts come last
    result: onnx.ModelProto = half.model
    return result


def tensors(values: Any) -> tuple[Tensor, ...]:
    """Return a graph's inputs or outputs; None in a shape where a size is free."""
    return tuple(
        Tensor(
            value.name,
            tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim),
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
        )
        for value in values
    )


def plain(artifact: Artifact, content: bytes) -> Graph:
    """Open a file without graph optimization, so that its integers are computed in float."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [t.name for t in artifact.outputs]

    def run(**inputs: Array) -> dict[str, Array]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return run


TARGET = Target(
    name="onnx",
    precisions=("float32", "float16", "dynamic_range", "int8", "int4"),
    lowerings={
        "float32": "hybrid",
        "float16": "transposed",
        "dynamic_range": "hybrid",
        "int8": "polyphase",
        "int4": "transposed",  # the fewest bytes, and floats are computed with anyhow
    },
    emit=emit,
    schemes={"int8": _INT8, "int4": _INT4},
    count_operators=count_operators,
    plain=plain,
)
