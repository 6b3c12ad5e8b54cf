"""Really int8? Which operators of a file compute with integers, read from its graph."""

from __future__ import annotations

from collections import Counter
from typing import Any

import onnx
from ai_edge_litert import schema_py_generated as schema

from cvae_edge.manifest import Artifact

# These convert values or move them, and compute nothing.
_IDLE = {
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"),
    *("Reshape", "Transpose", "DepthToSpace"),
    *("QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "DEPTH_TO_SPACE", "PAD"),
}
_INTEGER = {"MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "QGemm"}
_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


def count_operators(artifact: Artifact, content: bytes) -> dict[str, Any]:
    """Count the operators that compute with integers, with both, and with floats.

    ``hybrid`` operators have integer kernels and take float activations, which the runtime rounds
    as it goes. What converts or moves values is not counted.

    Returns:
        ``integer``, ``hybrid`` and ``float``, names with counts, and ``integer_share``, of the
        first two among all.
    """
    classes = _onnx_classes(content) if artifact.format == "onnx" else _tflite_classes(content)
    counts: dict[str, Counter[str]] = {
        "integer": Counter(),
        "hybrid": Counter(),
        "float": Counter(),
    }
    for name, kind in classes:
        counts[kind][name] += 1
    total = len(classes)
    share = 1 - counts["float"].total() / total if total else 0.0
    return {**{kind: dict(c) for kind, c in counts.items()}, "integer_share": round(share, 4)}


def _onnx_classes(content: bytes) -> list[tuple[str, str]]:
    graph = onnx.load_from_string(content).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    return [
        (node.op_type, _onnx_class(node, makers, users))
        for node in graph.node
        if node.op_type not in _IDLE and not node.output[0].endswith("/kernel")  # a constant
    ]


def _onnx_class(node: Any, makers: dict[str, str], users: dict[str, set[str]]) -> str:
    if node.op_type in _INTEGER:
        return "hybrid" if node.op_type.endswith("Integer") else "integer"
    if makers.get(node.input[0]) != "DequantizeLinear":
        return "float"
    # onnxruntime fuses DQ, operator and Q into an integer kernel.
    fused = all(users.get(name, set()) == {"QuantizeLinear"} for name in node.output)
    return "integer" if fused else "float"


def _tflite_classes(content: bytes) -> list[tuple[str, str]]:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    classes = []
    for operator in graph.operators:
        name = _NAMES[codes[operator.opcodeIndex]]
        if name in _IDLE:
            continue
        tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
        types = {t.type for t in tensors}
        floats, int8 = schema.TensorType.FLOAT32 in types, schema.TensorType.INT8 in types
        kind = "float" if not int8 else "hybrid" if floats else "integer"
        classes.append((name, kind))
    return classes
