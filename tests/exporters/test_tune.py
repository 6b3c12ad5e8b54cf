"""Training on with the rounding in place: what it computes, what it keeps, and what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cvae_edge.exporters import tune as tune_module
from cvae_edge.exporters.calibration import calibration_set, candidates
from cvae_edge.exporters.passes.layers import FakeQuantize
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.quantize import (
    Scheme,
    mark,
    marked,
    observe,
    rounding,
    with_own_kernels,
)
from cvae_edge.exporters.subject import Subject, load_subject
from cvae_edge.exporters.tune import Pair, RelativeAdam, batch_size, train_on, tune
from cvae_edge.training import elbo
from cvae_edge.training.run import Run

SCHEME = Scheme(conv_levels=64)


@pytest.fixture(scope="module")
def subject(tiny_run: Path) -> Subject:
    return load_subject(Run.open(tiny_run))


@pytest.fixture
def pair(subject: Subject) -> Pair:
    """Both halves, with the ranges of what they see."""
    calibration = calibration_set(subject, 100)
    halves = {}
    for role in ("encoder", "decoder"):
        network = subject.networks[role]
        values = observe(network, {t.name: calibration[t.name] for t in network.inputs})
        ranges = {n: candidates(values[n], False)["min-max"] for n in marked(network, SCHEME)}
        halves[role] = with_own_kernels(lower(mark(network, ranges)[0], "polyphase"))
    return Pair(**halves, scheme=SCHEME)


def values(pair: Pair) -> list[np.ndarray]:
    return [variable.numpy() for variable in pair.variables]


def test_gradients_pass_through_the_rounding_as_written_out() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(5, 3)).astype("f"), rng.normal(size=(3, 4)).astype("f")
    low, high = -1.0, 2.0
    z = keras.Input((3,), name="z")
    dense = layers.Dense(4)
    mark = FakeQuantize(low, high)
    model = keras.Model({"z": z}, {"x_logits": mark(dense(z))})
    dense.set_weights([kernel, np.zeros(4, "f")])
    with tf.GradientTape() as tape, rounding(SCHEME, model):
        taken = tf.constant(x)
        tape.watch(taken)
        loss = tf.reduce_sum(model({"z": taken})["x_logits"] ** 2)
    got = tape.gradient(loss, [taken, dense.kernel.value, dense.bias.value])

    scale = np.abs(kernel).max(axis=0, keepdims=True) / 127  # dense kernels have 127 levels
    rounded = np.rint(kernel / scale) * scale
    h = x @ rounded
    step = (high - low) / 255
    zero = np.rint(-low / step)
    y = (np.clip(np.rint(h / step) + zero, 0, 255) - zero) * step
    inside = (h >= -zero * step) & (h <= (255 - zero) * step)
    upstream = 2 * y * inside  # beyond the range nothing changes
    for value, wanted in zip(
        got, (upstream @ rounded.T, x.T @ upstream, upstream.sum(0)), strict=True
    ):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


def test_the_path_estimate_has_the_value_of_the_kl_and_no_gradient_of_the_density() -> None:
    rng = np.random.default_rng(1)
    mean, logvar, eps = (tf.constant(rng.normal(size=(6, 3)).astype("f")) for _ in range(3))
    with tf.GradientTape() as tape:
        tape.watch([mean, logvar])
        z = elbo.reparameterize(mean, logvar, eps)
        value = elbo.kl_path(z, mean, logvar)
    np.testing.assert_allclose(value, elbo.kl_sample(z, logvar, eps), rtol=1e-5, atol=1e-5)
    through_z = z - (z - mean) / tf.exp(logvar)  # d/dz of log q(z) - log p(z), less its sign
    got = tape.gradient(value, [mean, logvar])
    np.testing.assert_allclose(got[0], through_z, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        got[1], through_z * 0.5 * tf.exp(0.5 * logvar) * eps, rtol=1e-4, atol=1e-4
    )


def test_steps_are_shares_of_what_they_change() -> None:
    kernel, bias = keras.Variable(np.ones((2, 3), "f")), keras.Variable(np.ones(3, "f"))
    sizes = np.array([[1.0, 0.01, 100.0]], "f")
    optimizer = RelativeAdam([sizes, sizes[0]], learning_rate=0.1)
    optimizer.build([kernel, bias])
    optimizer.apply([np.full((2, 3), 7.0, "f"), np.full(3, -7.0, "f")], [kernel, bias])
    # Adam's first step is the learning rate, whatever the gradient
    np.testing.assert_allclose(np.asarray(kernel), np.tile(1 - 0.1 * sizes, (2, 1)), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(bias), 1 + 0.1 * sizes[0], rtol=1e-5)


def test_tuning_helps_is_deterministic_and_leaves_the_trained_model_alone(
    subject: Subject, pair: Pair
) -> None:
    trained = {role: network.get_weights() for role, network in subject.networks.items()}
    first, seen = values(pair), []
    report = tune(subject, pair, 2.0, lambda *done: seen.append(done))
    assert report["tuned"]
    assert report["after"]["pair"] > report["before"]["pair"]
    assert seen == [(i + 1, 20) for i in range(20)]
    ended = values(pair)
    for variable, value in zip(pair.variables, first, strict=True):
        variable.assign(value)
    again = tune(subject, pair, 2.0)
    assert again["after"] == report["after"]
    for one, other in zip(ended, values(pair), strict=True):
        np.testing.assert_array_equal(one, other)
    for role, network in subject.networks.items():
        for before, after in zip(trained[role], network.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("rate", "why"), [(50.0, "it ended worse than it began"), (float("nan"), "the loss became NaN")]
)
def test_tuning_that_goes_wrong_changes_nothing(
    subject: Subject, pair: Pair, monkeypatch: pytest.MonkeyPatch, rate: float, why: str
) -> None:
    monkeypatch.setattr(tune_module, "_RATE", rate)
    before = values(pair)
    report = tune(subject, pair, 0.2)
    assert not report["tuned"]
    assert report["before"] == report["after"]
    assert why in report["why"]
    for old, new in zip(before, values(pair), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("shape", "images"), [((28, 28, 1), 100), ((64, 64, 3), 32), ((512, 512, 3), 4)]
)
def test_a_step_takes_fewer_images_where_they_are_large(
    shape: tuple[int, int, int], images: int
) -> None:
    assert batch_size(shape) == images


def test_fewer_images_than_a_batch_are_not_tuned_on(subject: Subject, pair: Pair) -> None:
    few = replace(subject.dataset, train=subject.dataset.train.take(np.arange(99)))
    before = values(pair)
    report = tune(replace(subject, dataset=few), pair, 1.0)
    assert not report["tuned"]
    assert report["why"] == "tuning takes at least 100 training images, got 99"
    for old, new in zip(before, values(pair), strict=True):
        np.testing.assert_array_equal(old, new)


def test_float32_trained_on_for_as_long_gains_too(subject: Subject) -> None:
    codec = train_on(subject, 1.0)
    assert subject.choosing_elbo(codec) > subject.choosing_elbo(subject.trained)
