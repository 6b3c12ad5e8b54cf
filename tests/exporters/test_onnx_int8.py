"""Integers in ONNX files, on networks whose sums would not fit 16 bits."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.passes.quantize import mark, marked
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.engines import open_session


@pytest.mark.parametrize("channels", [1, 3])
def test_dense_layers_of_integers_do_not_saturate(channels: int) -> None:
    x = keras.Input((8, 8, channels), name="x")
    h = layers.Conv2D(32, 1, kernel_initializer="ones", activation="relu")(x)
    h = layers.Flatten()(h)
    outputs = {
        name: layers.Dense(5, kernel_initializer=keras.initializers.Constant(sign))(h)
        for name, sign in (("mean", 1.0), ("logvar", -1.0))
    }
    network = fold(normalize(keras.Model({"x": x}, outputs)))
    target = TARGETS["onnx"]
    ranges = dict.fromkeys(marked(network, target.schemes["int8"]), (0.0, float(channels)))
    file = target.emit(mark(network, ranges)[0], "int8")
    facts = ("encoder.int8.onnx", "onnx", "encoder", "int8", None, file.inputs, file.outputs)
    graph = open_session(Artifact(*facts, len(file.content), "0" * 64), file.content)
    for batch in (1, 3):  # a row alone has kernels of its own
        got = graph(x=np.ones((batch, 8, 8, channels), np.float32))
        np.testing.assert_allclose(got["mean"], 8 * 8 * 32 * channels, rtol=0.01)
        np.testing.assert_allclose(got["logvar"], -8 * 8 * 32 * channels, rtol=0.01)


def test_one_channel_is_moved_by_nothing() -> None:
    x = keras.Input((6, 7, 1), name="x")
    y = layers.Conv2D(2, 3, activation="relu")(x)
    network = fold(normalize(keras.Model({"x": x}, {"x_logits": layers.Conv2D(1, 3)(y)})))
    target = TARGETS["onnx"]
    values = np.random.default_rng(0).random((4, 6, 7, 1), np.float32)
    wanted = np.asarray(network({"x": values})["x_logits"])
    reach = float(np.abs(wanted).max()) + 1
    ranges = dict.fromkeys(marked(network, target.schemes["int8"]), (-reach, reach))
    file = target.emit(mark(network, ranges)[0], "int8")
    facts = ("a.onnx", "onnx", "decoder", "int8", None, file.inputs, file.outputs)
    graph = open_session(Artifact(*facts, len(file.content), "0" * 64), file.content)
    assert np.abs(graph(x=values)["x_logits"] - wanted).max() < 6 * reach / 255
