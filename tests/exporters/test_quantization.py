from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cvae_edge.bundle import Bundle
from cvae_edge.exporters import onnx, onnx_quantization, tflite
from cvae_edge.exporters.build import Builder, Exported
from cvae_edge.exporters.calibration import calibration_set, candidates, observe
from cvae_edge.exporters.networks import decoder_network
from cvae_edge.exporters.parity import ParityValueError
from cvae_edge.exporters.quantization import SCHEMES, FakeQuantize, fake_quantize, round_kernels
from cvae_edge.exporters.settings import Kind, Settings
from cvae_edge.exporters.subject import Subject, load_subject
from cvae_edge.exporters.tolerance import measure_tolerance
from cvae_edge.runtime.graph import open_graph


@pytest.fixture(scope="module")
def subject(tiny_run: Path) -> Subject:
    return load_subject(tiny_run)


@pytest.fixture(scope="module")
def exported(tiny_bundle: Path) -> Exported:
    bundle = Bundle.open(tiny_bundle)
    artifact = bundle.manifest.find("decoder", "onnx", "int8")
    content = bundle.read(artifact)
    return Exported(artifact, content, open_graph(artifact, content), {"x_logits": 0.01})


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_kernels_are_rounded_to_a_schemes_integers(subject: Subject, format: str) -> None:
    network = decoder_network(subject.config, subject.weights, "channels_last", "transposed")
    before = network.get_layer("up_1").kernel.numpy()
    round_kernels(network, SCHEMES[format])
    after, levels = network.get_layer("up_1").kernel.numpy(), SCHEMES[format].conv_levels
    scale = np.abs(before).max(axis=(0, 1, 3), keepdims=True) / levels
    np.testing.assert_allclose(after / scale, np.rint(after / scale), atol=1e-3)
    assert (np.abs(after - before) <= 0.5001 * scale).all()


def test_fake_quantization_has_256_levels_with_zero_among_them() -> None:
    x = np.linspace(-5, 5, 10_001, dtype=np.float32)
    rounded = FakeQuantize(-1.0, 2.0, "test")(x).numpy()
    assert len(np.unique(rounded)) == 256
    assert 0.0 in rounded
    assert rounded.min() == pytest.approx(-1, abs=0.01)
    assert rounded.max() == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("lowering", ["transposed", "subpixel", "polyphase", "hybrid"])
def test_the_simulation_computes_what_the_file_does(
    subject: Subject, format: str, lowering: str
) -> None:
    """To a step of the logits, for the rounding inside integer kernels."""
    inputs = calibration_set(subject, 50)

    def build(layout, mark):
        return decoder_network(subject.config, subject.weights, layout, lowering, mark)

    values = observe(lambda mark: build("channels_last", mark), {"z": inputs["z"]})
    ranges = {name: candidates(v, False)["min-max"] for name, v in values.items()}
    simulation = build("channels_last", fake_quantize(ranges))
    if format == "tflite":
        content = tflite.to_tflite(simulation, "int8")
        tensors, opset = tflite.tensors(content), None
    else:
        model = onnx.to_onnx(build("channels_first", lambda name, value: value))
        model = onnx_quantization.to_int8(model, ranges, inputs)
        content, tensors, opset = onnx.describe(model, {}), onnx.tensors(model), 17
    round_kernels(simulation, SCHEMES[format])
    kind = Kind("decoder", format, "int8")
    float32 = Builder(subject, Settings()).build(Kind("decoder", format, "float32"))
    artifact = float32.artifact._replace(
        file=kind.file,
        inputs=tensors[0],
        outputs=tensors[1],
        opset=opset,
    )
    z = subject.reference.tensors["z"]
    got = open_graph(artifact, content)(z=z)["x_logits"]
    wanted = simulation({"z": z})["x_logits"].numpy()
    low, high = ranges["x_logits"]
    step = (high - low) / 255
    assert np.abs(got - wanted).mean() < 0.25 * step
    assert np.abs(got - wanted).max() < 4 * step


def test_kernels_that_saturate_are_refused_at_export(exported: Exported, subject: Subject) -> None:
    right = measure_tolerance(exported, subject.reference)
    assert 0 < right["x_logits"] < 1

    def saturated(z):
        x_logits = exported.graph(z=z)["x_logits"].copy()
        x_logits[0, 0, 0] += 3 * np.abs(x_logits).max()
        return {"x_logits": x_logits}

    with pytest.raises(ParityValueError, match="its integer sums saturate"):
        measure_tolerance(replace(exported, graph=saturated), subject.reference)
