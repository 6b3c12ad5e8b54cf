"""The bytes of exported TFLite files."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
import zoo
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from cvae_edge.architectures.presets import build_preset
from cvae_edge.config import ModelConfig
from cvae_edge.exporters.naive import to_tflite
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.passes.quantize import mark, marked, observe
from cvae_edge.exporters.targets import TARGETS

DECODER = zoo.randomize(build_preset(ModelConfig("general", (45, 30, 3), 16, width=0.5), 0).decoder)
Z = zoo.draw(0, 16, 16)


@cache
def emitted(precision: str, lowering: str = "polyphase", io: str = "float32") -> bytes:
    target, network = TARGETS["tflite"], normalize(DECODER)
    if precision == "int8":
        values = observe(network, {"z": Z})
        ranges = {
            name: (float(values[name].min()), float(values[name].max()))
            for name in marked(network, target.schemes["int8"])
        }
        network = mark(network, ranges)[0]
    return target.emit(lower(network, lowering), precision, io=io).content


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_constants_lie_where_engines_can_use_them(precision: str) -> None:
    content = emitted(precision)
    model = schema.Model.GetRootAs(content)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [
        b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength() > 0
    ]  # the first byte of each
    assert len(starts) > 10
    assert {start % 16 for start in starts} == {0}


def test_tensors_have_the_signatures_names_and_the_shapes_of_one_image() -> None:
    (graph,) = schema.ModelT.InitFromPackedBuf(emitted("int8"), 0).subgraphs
    names = Counter(tensor.name.decode() for tensor in graph.tensors)
    assert names["z"] == names["x_logits"] == 1
    assert max(names.values()) == 1
    assert graph.tensors[graph.inputs[0]].name == b"z"
    assert graph.tensors[graph.outputs[0]].name == b"x_logits"
    assert all(tensor.shapeSignature is None for tensor in graph.tensors)


def test_an_ethos_u55_takes_every_operator_of_phases_with_integer_inputs() -> None:
    """As Arm's vela says, which refuses depth-to-space, quantize, and same padding at stride 4."""
    model = schema.ModelT.InitFromPackedBuf(emitted("int8", "phases", "int8"), 0)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    (graph,) = model.subgraphs
    codes = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    found = Counter(codes[operator.opcodeIndex] for operator in graph.operators)
    assert found["CONV_2D"] > 4
    linear = {"FULLY_CONNECTED", "CONV_2D"}
    moves = {"RESHAPE", "CONCATENATION", "PAD", "STRIDED_SLICE"}
    assert found.keys() <= linear | moves
    convolutions = [o for o in graph.operators if codes[o.opcodeIndex] == "CONV_2D"]
    strides = {(o.builtinOptions.strideH, o.builtinOptions.strideW) for o in convolutions}
    assert strides == {(1, 1)}


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_files_can_be_resized_to_any_batch(precision: str) -> None:
    given = []
    for size in (1, 16):
        interpreter = Interpreter(model_content=emitted(precision))
        (index,) = (d["index"] for d in interpreter.get_input_details())
        interpreter.resize_tensor_input(index, (size, 16))
        run = interpreter.get_signature_runner()
        batches = np.split(Z, 16 // size)
        given.append(np.concatenate([run(z=batch)["x_logits"] for batch in batches]))
    np.testing.assert_allclose(*given, atol=1e-5)
    assert np.ptp(given[0]) > 0.5


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_lowered_file_is_hardly_larger_than_the_converters(precision: str) -> None:
    whole = build_preset(ModelConfig("general", (45, 30, 3), 64), 0).decoder
    network = normalize(whole)
    if precision == "int8":
        names = marked(network, TARGETS["tflite"].schemes["int8"])
        network = mark(network, dict.fromkeys(names, (-1.0, 1.0)))[0]
    ours = TARGETS["tflite"].emit(lower(network, "polyphase"), precision).content
    theirs = to_tflite(whole, precision, {"z": zoo.draw(1, 2, 64)}).content
    assert len(ours) < 1.05 * len(theirs)
