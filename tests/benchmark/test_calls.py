"""What is timed is what the runtime gives a user."""

from __future__ import annotations

import importlib.util
from itertools import islice

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.benchmark.calls import make_inputs, open_call
from cvae_edge.benchmark.plan import Configuration
from cvae_edge.errors import BundleError
from cvae_edge.runtime.engines import find_engine

FORMATS = [
    "onnx",
    pytest.param(
        "tflite",
        marks=pytest.mark.skipif(
            not importlib.util.find_spec("ai_edge_litert"), reason="TFLite files need LiteRT"
        ),
    ),
]


def call_and_inputs(bundle, role, format, batch, files=None):
    files = files or (f"{'encoder' if role == 'encoder' else 'decoder'}.{format}",)
    c = Configuration(role, files, format, "float32", "cpu", 2, batch, find_engine(format))
    return open_call(bundle, c), make_inputs(bundle.manifest, role, batch)


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize("format", FORMATS)
class TestGivesWhatTheModelGives:
    def test_decoder(self, tiny, format, batch):
        call, inputs = call_and_inputs(tiny, "decoder", format, batch)
        values = next(inputs)
        model = EdgeCVAE.load(tiny, format=format)
        np.testing.assert_allclose(call(**values), model.decode(values["z"]), atol=1e-6)

    def test_encoder(self, tiny, format, batch):
        call, inputs = call_and_inputs(tiny, "encoder", format, batch)
        values = next(inputs)
        mean, logvar = call(**values)
        expected = EdgeCVAE.load(tiny, format=format).encode(values["x"])
        np.testing.assert_allclose(mean, expected.mean, atol=1e-5)
        np.testing.assert_allclose(logvar, expected.logvar, atol=1e-5)

    def test_reconstruct(self, tiny, format, batch):
        files = (f"encoder.{format}", f"decoder.{format}")
        call, inputs = call_and_inputs(tiny, "reconstruct", format, batch, files)
        values = next(inputs)  # whose eps is that of seed 0 from its start
        expected = EdgeCVAE.load(tiny, format=format).reconstruct(values["x"], seed=0)
        np.testing.assert_allclose(call(**values), expected, atol=1e-5)

    def test_generate(self, tiny, format, batch):
        call, inputs = call_and_inputs(tiny, "generate", format, batch)
        next(inputs)
        expected = EdgeCVAE.load(tiny, format=format).generate(batch, seed=0, start=batch)
        np.testing.assert_allclose(call(**next(inputs)), expected, atol=1e-6)


@pytest.mark.parametrize("role", ["decoder", "encoder", "reconstruct", "generate"])
def test_inputs_in_turn_are_distinct(tiny, role):
    first, second = islice(make_inputs(tiny.manifest, role, 3), 2)
    assert first.keys() == second.keys()
    for name in first:
        assert not np.array_equal(first[name], second[name])


def test_images_are_binary_for_a_model_of_binary_images(tiny):
    x = next(make_inputs(tiny.manifest, "encoder", 20))["x"]
    assert x.shape == (20, 8, 8, 1)
    assert set(np.unique(x)) == {0.0, 1.0}


def test_files_that_a_replaced_bundle_lacks_are_an_error(tiny):
    with pytest.raises(BundleError, match=r"must have gone.onnx"):
        call_and_inputs(tiny, "decoder", "onnx", 1, ("gone.onnx",))
