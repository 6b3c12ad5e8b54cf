"""What a TFLite file may hold, by files that were made to harm."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from cvae_edge.errors import BundleError
from cvae_edge.guard import check_graph
from cvae_edge.guard.flatbuffers import Table
from cvae_edge.guard.shapes import BATCH
from cvae_edge.guard.tflite import check_tflite
from cvae_edge.manifest_json import parse_manifest
from cvae_edge.model_config import ModelShape

SHAPE = ModelShape((8, 8, 1), 4)
FOLDERS = [Path(__file__).parents[1] / "data" / name for name in ("tiny", "v1")]
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.tflite"))]
DECODER = (FOLDERS[0] / "decoder.tflite").read_bytes()


def refuse(content: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_graph("decoder.tflite", "tflite", bytes(content), SHAPE, trusted=False)


@pytest.mark.parametrize("code", [31, 32, 51, 118, 119, 129, 144])  # CALL CUSTOM ... WHILE ...
def test_an_operator_that_runs_more_than_itself_is_refused(code):
    content = bytearray(DECODER)
    table = Table.root(memoryview(DECODER)).tables(1)[0]
    place = table._place(0)  # its number, in a byte
    assert place is not None
    content[place] = code
    modern = table._place(3)
    if modern is not None:
        content[modern : modern + 4] = struct.pack("<i", code)
    refuse(content, f"operator {code} is not")
    check_graph("decoder.tflite", "tflite", bytes(content), SHAPE, trusted=True)


def test_a_tensor_that_says_it_is_huge_is_refused():
    content = bytearray(DECODER)
    graph = Table.root(memoryview(DECODER)).tables(2)[0]
    (given,) = graph.numbers(1, "i")
    start, count = graph.tables(0)[given]._vector(0, 4)
    for i in range(count):
        content[start + 4 * i : start + 4 * i + 4] = struct.pack("<i", 1 << 30)
    refuse(content, "at most .* values an image")


def test_a_constant_that_says_it_is_larger_than_its_bytes_is_refused():
    content = bytearray(DECODER)
    graph = Table.root(memoryview(DECODER)).tables(2)[0]
    made = {i for operator in graph.tables(3) for i in operator.numbers(2, "i")}
    for number, one in enumerate(graph.tables(0)):
        if number not in made and number not in graph.numbers(1, "i"):
            start, _ = one._vector(0, 4)
            content[start : start + 4] = struct.pack("<i", 1 << 28)
            break
    refuse(content, "a constant must be")


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x00\x00\x00TFL3", b"\xff" * 4 + b"TFL3" + bytes(9)]
)
def test_what_is_no_tflite_file_is_refused(content):
    refuse(content, "refused before it is run")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_shapes_are_those_that_litert_gives(file):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    shape = parse_manifest((file.parent / "manifest.json").read_bytes()).model
    tensors = check_tflite(file.read_bytes(), shape, trusted=False)
    interpreter = litert.Interpreter(
        model_content=file.read_bytes(),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    for given in interpreter.get_input_details():
        interpreter.resize_tensor_input(given["index"], [BATCH, *given["shape"][1:]])
    interpreter.allocate_tensors()
    for given in interpreter.get_input_details():
        interpreter.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
    interpreter.invoke()
    graph = Table.root(memoryview(file.read_bytes())).tables(2)[0]
    details = interpreter.get_tensor_details()
    for operator in graph.tables(3):
        for output in operator.numbers(2, "i"):
            assert tensors.shape(output) == tuple(details[output]["shape"]), details[output]["name"]
