"""Equalization, marks and rounding on networks that no test chose by name."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from zoo import MODELS, draw, inputs, run, zoo

from cvae_edge.exporters.int8 import simulate
from cvae_edge.exporters.passes.equalize import equalize
from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.kinds import is_linear
from cvae_edge.exporters.passes.layers import FakeQuantize
from cvae_edge.exporters.passes.lower import LOWERINGS, lower
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.passes.quantize import (
    Scheme,
    linear_layers,
    mark,
    marked,
    observe,
    output_names,
    rounding,
)
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.engines import open_session

EVERYWHERE = Scheme(conv_levels=127)
CONVOLUTIONS = Scheme(conv_levels=64, activations="convolutions")


def prepared(name: str) -> keras.Model:
    return fold(normalize(zoo(name)))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", MODELS)
def test_equalized_networks_compute_the_same(name: str, alpha: float) -> None:
    model = prepared(name)
    values = inputs(model, 20)
    equalized = equalize(model, observe(model, values), alpha)
    wanted = run(model, values)["x_logits"]
    got = run(equalized, values)["x_logits"]
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())


def test_equalization_finds_pairs_through_reshapes_and_pads() -> None:
    model = prepared("dense")
    values = inputs(model, 20)
    equalized = equalize(model, observe(model, values), 0.5)
    linear = [i for i, layer in enumerate(model.layers) if is_linear(layer)]
    changed = [
        not np.allclose(model.layers[i].get_weights()[0], equalized.layers[i].get_weights()[0])
        for i in linear
    ]
    assert changed == [True] * len(linear)


def test_alpha_1_evens_out_the_activations() -> None:
    model = prepared("dense")
    values = inputs(model, 200)
    first = next(layer.name for layer in model.layers if isinstance(layer, layers.Dense))
    even = observe(equalize(model, observe(model, values), 1.0), values)[first]
    peaks = even.reshape(-1, 3).max(axis=0)  # the channels of the grid that it becomes
    np.testing.assert_allclose(peaks, peaks.max(), rtol=1e-4)


def test_a_layer_that_is_dead_on_the_calibration_set_stays_finite() -> None:
    z = keras.Input((4,), name="z")
    h = layers.Dense(6, activation="relu", bias_initializer=keras.initializers.Constant(-100.0))(z)
    model = fold(normalize(keras.Model({"z": z}, {"x_logits": layers.Dense(3)(h)})))
    values = {"z": draw(0, 10, 4)}
    for layer in equalize(model, observe(model, values), 0.5).layers:
        assert all(np.isfinite(w).all() for w in layer.get_weights())


@pytest.mark.parametrize("scheme", [EVERYWHERE, CONVOLUTIONS])
def test_kernels_are_rounded_to_a_schemes_integers(scheme: Scheme) -> None:
    model = prepared("normalized")
    with rounding(scheme, model):
        rounded = [np.asarray(layer.kernel) for layer in linear_layers(model)]
    for before, new in zip(linear_layers(model), rounded, strict=True):
        old = before.get_weights()[0]
        others = {layers.DepthwiseConv2D: (0, 1), layers.Conv2DTranspose: (0, 1, 3)}
        axes = others.get(type(before), tuple(range(old.ndim - 1)))
        levels = scheme.conv_levels
        scale = np.abs(old).max(axis=axes, keepdims=True) / levels
        np.testing.assert_allclose(new / scale, np.rint(new / scale), atol=1e-3)
        assert (np.abs(new - old) <= 0.5001 * scale).all()


def test_fake_quantization_has_256_levels_with_zero_among_them() -> None:
    x = np.linspace(-5, 5, 10_001, dtype=np.float32)
    rounded = np.asarray(FakeQuantize(-1.0, 2.0)(x))
    assert len(np.unique(rounded)) == 256
    assert 0.0 in rounded
    assert rounded.min() == pytest.approx(-1, abs=0.01)
    assert rounded.max() == pytest.approx(2, abs=0.01)


def test_marks_stand_behind_what_computes() -> None:
    model = prepared("dense")
    everywhere, convolutions = marked(model, EVERYWHERE), marked(model, CONVOLUTIONS)
    assert len(everywhere) == 1 + sum(is_linear(layer) for layer in model.layers)
    assert output_names(model)["x_logits"] in everywhere
    assert "z" in everywhere
    # the dense layers at both ends meet no convolution on one side
    assert set(everywhere) - set(convolutions) == {"z", output_names(model)["x_logits"]}


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("name", ["dense", "upsampling", "activations", "branches"])
def test_the_simulation_computes_what_the_file_does(name: str, format: str, lowering: str) -> None:
    """To a step of the output, for the rounding inside integer kernels, and of their tables."""
    steps = 3.0 if name == "activations" else 1.0  # seven functions in a row, each by a table
    check_simulation(name, format, "int8", lowering, steps)


def test_of_large_images_the_extremes_of_each_channel_and_a_sample_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = prepared("normalized")
    values = inputs(model, 30)
    whole = observe(model, values)
    most = sum(v.size for v in whole.values()) // 4
    monkeypatch.setattr("cvae_edge.exporters.passes.quantize._KEPT", most)
    some = observe(model, values)
    thinned = [name for name in whole if some[name].shape != whole[name].shape]
    assert len(thinned) >= 2
    for name, v in whole.items():
        channels = v.shape[-1]
        if name in thinned:  # of 30 images, perhaps in batches of one
            assert some[name].size <= v.size / 3 + 30 * 2 * channels * channels
        for extreme in (np.max, np.min):
            np.testing.assert_allclose(  # batches of other sizes round otherwise
                extreme(some[name].reshape(-1, channels), axis=0),
                extreme(v.reshape(-1, channels), axis=0),
                rtol=1e-5,
            )
    for a, b in zip(
        equalize(model, whole, 0.5).get_weights(), equalize(model, some, 0.5).get_weights(),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_so_it_does_with_kernels_of_4_bits(format: str) -> None:
    check_simulation("dense", format, "int4", TARGETS[format].lowerings["int4"], 1.0)


def check_simulation(name: str, format: str, precision: str, lowering: str, steps: float) -> None:
    target, model = TARGETS[format], prepared(name)
    values = inputs(model, 30)
    observed = observe(model, values)
    ranges = {
        tensor: (min(0.0, float(v.min())), max(0.1, float(v.max())))
        for tensor, v in observed.items()
        if tensor in marked(model, target.schemes[precision])
    }
    network = lower(mark(model, ranges)[0], lowering)
    file = target.emit(network, precision)
    artifact = Artifact(
        f"decoder.{precision}.{format}", format, "decoder", precision, lowering,
        file.inputs, file.outputs, len(file.content), "0" * 64,
    )  # fmt: skip
    got = open_session(artifact, file.content)(**values)["x_logits"]
    wanted = simulate(network, target.schemes[precision])(**values)["x_logits"]
    spread = float(observed[output_names(model)["x_logits"]].max() - wanted.min())
    assert np.abs(got - wanted).mean() < steps * spread / 255
