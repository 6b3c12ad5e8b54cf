"""Every pass computes what the model did, on every layer that passes know."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from zoo import MODELS, draw, inputs, randomize, run, zoo

from cvae_edge.exporters.build import unknown_layers
from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.fuse import fuse
from cvae_edge.exporters.passes.layout import channels_first
from cvae_edge.exporters.passes.lower import LOWERINGS, lower
from cvae_edge.exporters.passes.normalize import normalize


def assert_same(got: keras.Model, model: keras.Model) -> None:
    values = inputs(model)
    wanted = run(model, values)
    for name, value in run(got, values).items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-5 * np.abs(wanted[name]).max())


@pytest.mark.parametrize("name", MODELS)
def test_normalized_and_folded_models_compute_the_same(name: str) -> None:
    model = zoo(name)
    assert_same(normalize(model), model)
    assert_same(fold(normalize(model)), model)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", MODELS)
def test_lowered_models_compute_the_same_in_both_layouts(name: str, lowering: str) -> None:
    model = zoo(name)
    lowered = lower(fold(normalize(model)), lowering)
    assert_same(lowered, model)
    assert_same(channels_first(lowered), model)


def test_passes_leave_the_model_as_it_was() -> None:
    model = zoo("dense")
    values, weights = inputs(model), [w.copy() for w in model.get_weights()]
    before = run(model, values)
    lower(fold(normalize(model)), "polyphase")
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(run(model, values)["x_logits"], before["x_logits"])


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers[1:]]


def test_normalization_folds_into_the_layer_before_it_or_is_a_depthwise_convolution() -> None:
    folded = kinds(fold(normalize(zoo("normalized"))))
    assert "BatchNormalization" not in folded
    assert folded.count("DepthwiseConv2D") == 3  # the model's own, and two behind the ReLU
    assert "ReLU" not in folded


def test_what_only_training_needs_goes() -> None:
    names = kinds(normalize(zoo("nested")))
    assert names == ["Conv2D", "Conv2D"]  # one layer, called twice, has two places


def test_slices_of_a_dense_layer_become_layers() -> None:
    x = keras.Input((6, 4, 1), name="x")
    h = layers.Dense(10)(layers.Flatten()(x))
    model = randomize(keras.Model({"x": x}, {"mean": h[:, :5], "logvar": h[:, 5:]}))
    folded = fold(normalize(model))
    assert kinds(folded).count("Dense") == 2
    assert kinds(folded) == ["Reshape", "Dense", "Dense"]
    assert_same(folded, model)


@pytest.mark.parametrize("lowering", LOWERINGS[1:])
def test_no_strided_transposed_convolution_is_left(lowering: str) -> None:
    z = keras.Input((3, 5, 8), name="z")
    h = layers.Conv2DTranspose(20, 4, 2, "same", activation="relu")(z)
    h = layers.Conv2DTranspose(20, 3, 2, "same", activation="silu")(h)
    x_logits = layers.Conv2D(1, 3, padding="same")(h)
    model = randomize(keras.Model({"z": z}, {"x_logits": x_logits}))
    lowered = lower(fold(normalize(model)), lowering)
    left = [layer for layer in lowered.layers if isinstance(layer, layers.Conv2DTranspose)]
    # hybrid keeps the first as it is, and gathers the phases of the second by one of its own
    assert len(left) == (2 if lowering == "hybrid" else 0)
    assert_same(lowered, model)


def test_phases_have_the_layers_own_products_and_no_others() -> None:
    z = keras.Input((4, 4, 16), name="z")
    model = keras.Model({"z": z}, {"x_logits": layers.Conv2DTranspose(32, 3, 2, "same")(z)})
    lowered = lower(fold(normalize(randomize(model))), "polyphase")
    kernels = [w for layer in lowered.layers for w in layer.get_weights() if w.ndim == 4]
    assert sum(kernel.size for kernel in kernels) == 3 * 3 * 16 * 32


def test_a_fused_model_is_encoder_sampling_and_decoder() -> None:
    x, z = keras.Input((6, 6, 2), name="x"), keras.Input((3,), name="z")
    h = layers.Flatten()(x)
    posterior = {"mean": layers.Dense(3)(h), "logvar": layers.Dense(3)(h)}
    encoder = randomize(keras.Model({"x": x}, posterior, name="encoder"), 1)
    image = layers.Reshape((6, 6, 2))(layers.Dense(72)(z))
    decoder = randomize(keras.Model({"z": z}, {"x_logits": image}, name="decoder"), 2)
    values = {"x": draw(0, 4, 6, 6, 2), "eps": draw(1, 4, 3)}
    got = run(fuse(normalize(encoder), normalize(decoder)), values)["x_recon"]
    q = run(encoder, {"x": values["x"]})
    latents = q["mean"] + np.exp(q["logvar"] / 2) * values["eps"]
    logits = run(decoder, {"z": latents})["x_logits"]
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_a_layer_that_no_pass_knows_is_kept_and_named() -> None:
    z = keras.Input((6, 6, 4), name="z")
    h = layers.LayerNormalization(name="norm")(layers.Conv2D(4, 3, padding="same")(z))
    model = randomize(
        keras.Model({"z": z}, {"x_logits": layers.Conv2DTranspose(1, 3, 2, "same")(h)})
    )
    lowered = lower(fold(normalize(model)), "polyphase")
    assert_same(lowered, model)
    assert unknown_layers(fold(normalize(model))) == ["norm (LayerNormalization)"]
