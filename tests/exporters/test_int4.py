"""Kernels of 4 bits: how they are packed, and that files hold them so."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from zoo import zoo

from cvae_edge.architectures.presets import build_preset
from cvae_edge.config import ModelConfig
from cvae_edge.errors import BundleError
from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.passes.quantize import mark, marked
from cvae_edge.exporters.targets import TARGETS, File
from cvae_edge.exporters.targets.packing import pack
from cvae_edge.guard import check_graph
from cvae_edge.model_config import ModelShape


def emitted(format: str, model: keras.Model | None = None) -> File:
    network = fold(normalize(model or zoo("dense")))
    target = TARGETS[format]
    ranges = dict.fromkeys(marked(network, target.schemes["int4"]), (-4.0, 4.0))
    network = lower(mark(network, ranges)[0], target.lowerings["int4"])
    return target.emit(network, "int4")


@pytest.mark.parametrize("shape", [(8,), (3, 5), (1,)])
def test_two_values_share_a_byte_as_onnx_reads_them(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(-7, 8, shape).astype(np.int8)
    packed = pack(values)
    assert len(packed) == -(-values.size // 2)
    tensor = onnx.helper.make_tensor("k", onnx.TensorProto.INT4, shape, packed.tobytes(), raw=True)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor).astype(np.int8), values)


def test_onnx_files_store_kernels_in_4_bits() -> None:
    file = emitted("onnx")
    assert file.opset == 21
    graph = onnx.load_from_string(file.content).graph
    kernels = {n.input[0] for n in graph.node if n.op_type == "Cast"}
    types = {t.name: t.data_type for t in graph.initializer}
    assert kernels
    assert {types[name] for name in kernels} == {onnx.TensorProto.INT4}
    assert not any(n.op_type.endswith("QuantizeLinear") for n in graph.node)


def test_tflite_files_store_kernels_in_4_bits_and_compute_with_integers() -> None:
    content = emitted("tflite").content
    (graph,) = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs
    kernels = [t for t in graph.tensors if t.type == schema.TensorType.INT4]
    assert len(kernels) >= 3
    report = TARGETS["tflite"].count_operators(content)
    assert not report["float"]
    assert not report["hybrid"]


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_devices_run_them_without_being_told_to_trust_them(format: str) -> None:
    shape = ModelShape((10, 9, 2), 4)
    vae = build_preset(ModelConfig("general", *shape), seed=0)
    content = emitted(format, vae.decoder).content
    check_graph("decoder", format, content, shape, trusted=False)
    with pytest.raises(BundleError, match="refused before it is run"):
        check_graph("decoder", format, content[:-2000], shape, trusted=False)
