"""What an ONNX file may hold, by files that were made to harm."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from guard.wire import field, graph, model, node, tensor

from cvae_edge.errors import BundleError
from cvae_edge.guard import check_graph
from cvae_edge.guard.onnx import check_onnx
from cvae_edge.guard.shapes import BATCH
from cvae_edge.manifest_json import parse_manifest
from cvae_edge.model_config import ModelShape

SHAPE = ModelShape((8, 8, 1), 4)
FOLDERS = [Path(__file__).parents[1] / "data" / name for name in ("tiny", "v1")]
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.onnx"))]


def numbers(name: str, *values: int) -> bytes:
    return tensor(name, np.array(values, np.int64))


def doubled(times: int) -> list[bytes]:
    names = ["z", *(f"t{i}" for i in range(times))]
    return [node("Concat", [a, a], [b], axis=1) for a, b in pairwise(names)]


HOSTILE = {
    "an endless loop": (model([node("Loop", ["z"], ["y"], body=graph([]))]), "graph of its own"),
    "a loop without a body": (model([node("Loop", ["z"], ["y"])]), "operator Loop"),
    "an operator of another domain": (model([node("Anything", ["z"], ["y"], "com.evil")]), "own"),
    "a function of its own": (model([]) + field(25, b""), "functions"),
    "a constant in another file": (
        model([], [tensor("w", np.zeros(2, np.float32)) + field(13, b"")]),
        "another file",
    ),
    "a constant that says it is in another file": (
        model([], [tensor("w", np.zeros(2, np.float32)) + field(14, 1)]),
        "another file",
    ),
    "an attribute in another file": (
        model([node("Constant", [], ["y"]) + field(5, field(1, "value") + field(5, field(14, 1)))]),
        "another file",
    ),
    "a constant of 8 GB": (
        model([node("ConstantOfShape", ["s"], ["y"])], [numbers("s", 2, 1 << 30)]),
        "at most .* values an image",
    ),
    "a constant that is not there": (
        model([], [field(1, 1 << 31) + field(2, 1) + field(8, "w") + field(9, b"1234")]),
        "must have 2147483648 values, got 1",
    ),
    "expansion": (
        model([node("Expand", ["z", "s"], ["y"])], [numbers("s", 1 << 32, 1, 4)]),
        "most",
    ),
    "tiles": (model([node("Tile", ["z", "s"], ["y"])], [numbers("s", 1, 1 << 32)]), "at most"),
    "padding": (
        model([node("Pad", ["z", "s"], ["y"])], [numbers("s", 0, 0, 0, 1 << 32)]),
        "at most",
    ),
    "doubling": (model(doubled(30)), "at most"),
    "an outer product": (
        model(
            [node("Reshape", ["z", "t"], ["column"]), node("Add", ["column", "row"], ["y"])],
            [numbers("t", -1, 1), tensor("row", np.zeros((1, 1 << 16), np.float32))],
            (0, 1 << 12),
        ),
        "at most",
    ),
    "growth with the batch's fourth power": (
        model(
            [
                node("Shape", ["z"], ["n"], end=1),
                node("Mul", ["n", "n"], ["n2"]),
                node("Mul", ["n2", "n2"], ["n4"]),
                node("Mul", ["n4", "n2"], ["n6"]),
                node("ConstantOfShape", ["n6"], ["y"]),
            ]
        ),
        "at most",
    ),
    "a stride of a billion": (
        model(
            [node("ConvTranspose", ["z", "w"], ["y"], strides=[1 << 30])],
            [tensor("w", np.zeros((4, 1, 1), np.float32))],
            (0, 4, 8),
        ),
        "at most",
    ),
    "endless work": (
        model(
            [node("MatMul", [a, "w"], [b]) for a, b in zip("zabcdefgh", "abcdefghi", strict=True)],
            [tensor("w", np.zeros((3000, 3000), np.float32))],
            (0, 100, 3000),
        ),
        "so much",
    ),
    "a shape that nobody knows": (model([node("Reshape", ["z", "z"], ["y"])]), "known beforehand"),
    "a graph in two parts": (model([]) + field(7, graph([])), "twice"),
    "more operators than any network has": (
        model([node("Relu", ["z"], [f"t{i}"]) for i in range(5000)]),
        "at most 4096 operators",
    ),
    "onnxruntime's own format": (b"\x18\x00\x00\x00ORTM" + bytes(40), "own format"),
    "nothing": (b"\x0a", "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(name):
    content, message = HOSTILE[name]
    with pytest.raises(BundleError, match=message):
        check_graph("decoder.onnx", "onnx", content, SHAPE, trusted=False)


def test_trust_lifts_operators_and_sizes_and_never_other_files():
    for name, (content, _) in HOSTILE.items():
        if name in ("a loop without a body", "a constant of 8 GB", "doubling", "endless work"):
            check_graph("decoder.onnx", "onnx", content, SHAPE, trusted=True)
        if "another file" in name:
            with pytest.raises(BundleError, match="another file"):
                check_graph("decoder.onnx", "onnx", content, SHAPE, trusted=True)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_shapes_are_those_that_onnxruntime_gives(file):
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    shape = parse_manifest((file.parent / "manifest.json").read_bytes()).model
    tensors = check_onnx(file.read_bytes(), shape, trusted=False)
    opened = onnx.load(file)
    names = [name for one in opened.graph.node for name in one.output]
    del opened.graph.output[:]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(opened.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {t.name: np.zeros((BATCH, *t.shape[1:]), np.float32) for t in session.get_inputs()}
    for name, value in zip(names, session.run(names, feeds), strict=True):
        assert tensors.shape(name) == value.shape, name
