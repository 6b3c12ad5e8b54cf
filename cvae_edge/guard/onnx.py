"""ONNX files, looked at before an engine opens them. Nothing is run; stdlib only."""

from __future__ import annotations

from cvae_edge.guard.onnx_graph import read_graph, read_tensor
from cvae_edge.guard.onnx_operators import OPERATORS
from cvae_edge.guard.shapes import BATCH, Tensors
from cvae_edge.model_config import ModelShape

MAX_NODES = 4096


def check_onnx(content: bytes, model: ModelShape, trusted: bool) -> Tensors | None:
    """Return the tensors of a harmless file, None for a trusted one; no file may name another.

    Raises:
        ValueError, IndexError, and others: it is damaged, or may do harm.
    """
    graph = read_graph(content)
    if trusted:
        return None
    if len(graph.nodes) > MAX_NODES:
        raise ValueError(f"it must have at most {MAX_NODES} operators, got {len(graph.nodes)}")
    tensors = Tensors(model)
    tensors.put("", ())  # an input that is left out
    for constant in graph.constants:
        tensors.put(constant.text(8), *read_tensor(constant))
    for name, shape in graph.inputs.items():
        if tensors.known(name) is None:
            tensors.put(name, shape and [BATCH, *shape[1:]])
    for node in graph.nodes:
        if node.op not in OPERATORS:
            raise ValueError(f"the operator {node.op} is not one that is known to be harmless")
        OPERATORS[node.op](node, tensors)
    return tensors
