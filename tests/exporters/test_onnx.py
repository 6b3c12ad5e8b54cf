"""What other engines than onnxruntime need of ONNX files."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
import zoo
from keras import layers

from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.engines import open_session


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), ((5, 2), (2, 3)), (4, 2), (3, 1)])
def test_transposed_convolutions_pad_all_sides_alike(kernel, stride, precision) -> None:
    z = keras.Input((5, 4, 2), name="z")
    h = layers.Conv2DTranspose(3, kernel, stride, "same", activation="relu")(z)
    h = layers.Conv2DTranspose(2, 3, 2, "same")(h)
    network = fold(normalize(zoo.randomize(keras.Model({"z": z}, {"x_logits": h}))))
    file = TARGETS["onnx"].emit(network, precision)
    nodes = onnx.load_from_string(file.content).graph.node
    pads = [a.ints for n in nodes if n.op_type == "ConvTranspose" for a in n.attribute
            if a.name == "pads"]  # fmt: skip
    assert len(pads) == 2
    assert all(list(p[:2]) == list(p[2:]) for p in pads)
    facts = ("a.onnx", "onnx", "decoder", precision, None, file.inputs, file.outputs)
    graph = open_session(Artifact(*facts, len(file.content), "0" * 64), file.content)
    values = zoo.draw(1, 3, 5, 4, 2)
    wanted = np.asarray(network({"z": values})["x_logits"])
    atol = 1e-5 if precision == "float32" else 0.02
    np.testing.assert_allclose(graph(z=values)["x_logits"], wanted, atol=atol, rtol=1e-3)


def test_no_shape_of_a_tensor_within_names_the_batch() -> None:
    network = fold(normalize(zoo.zoo("dense")))
    assert not onnx.load_from_string(
        TARGETS["onnx"].emit(network, "float32").content
    ).graph.value_info
