"""What an ONNX file computes with: integers, floats, or both."""

from __future__ import annotations

from typing import Any

import onnx

from cvae_edge.exporters.targets.onnx_int8 import CONVERTING, CONVOLUTIONS, MOVES
from cvae_edge.exporters.targets.operators import summarize


def count_operators(content: bytes) -> dict[str, Any]:
    """Count the operators of a file by what they compute with; see ``summarize``."""
    graph = onnx.load_from_string(content).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    constants = {t.name for t in graph.initializer}
    stored = {n.output[0] for n in graph.node if n.op_type == "Cast" and n.input[0] in constants}
    fused = {  # onnxruntime makes a ReLU part of the convolution before it
        node.output[0]
        for node in graph.node
        if node.op_type == "Relu" and makers.get(node.input[0]) in CONVOLUTIONS
    }
    return summarize(
        (node.op_type, _kind(node, makers, users))
        for node in graph.node
        if node.op_type not in (*CONVERTING, *MOVES)
        and node.input[0] not in stored
        and node.output[0] not in fused
    )


def _kind(node: Any, makers: dict[str, str], users: dict[str, set[str]]) -> str:
    if makers.get(node.input[0]) != "DequantizeLinear":
        return "float"
    # onnxruntime fuses DQ, operator and Q into an integer kernel.
    behind = {kind for name in node.output for kind in users.get(name, set())}
    return "integer" if behind <= {"QuantizeLinear", "Relu"} else "float"
