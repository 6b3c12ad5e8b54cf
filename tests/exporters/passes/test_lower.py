"""Random layers that enlarge, against Keras and against the definition."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from zoo import draw, randomize, run

from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.lower import LOWERINGS, lower
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.passes.taps import Axis, window

LAYERS = 200


def random_model(seed: int) -> keras.Model | None:
    """A transposed convolution or upsampling, perhaps with a layer behind it.

    None where TensorFlow can't run it: dilated transposed convolutions on CPUs, empty outputs.
    """
    rng = np.random.default_rng(seed)
    pick = lambda low, high: (int(rng.integers(low, high)), int(rng.integers(low, high)))  # noqa: E731
    kernel, padding = pick(1, 7), str(rng.choice(["same", "valid"]))
    channels = int(rng.choice([1, 3, 4, 5, 20]))
    scale = pick(1, 5) if rng.random() < 0.4 else (int(rng.integers(1, 5)),) * 2
    z = keras.Input((*pick(1, 8), int(rng.integers(1, 6))), name="z")
    try:
        if rng.random() < 0.6:
            spare = [
                int(rng.integers(0, min(s, k))) if s > 1 else 0
                for s, k in zip(scale, kernel, strict=True)
            ]
            h = layers.Conv2DTranspose(
                channels,
                kernel,
                scale,
                padding,
                output_padding=tuple(spare) if rng.random() < 0.4 else None,
                activation=str(rng.choice(["relu", "linear", "leaky_relu"])),
            )(z)
        else:
            how = "nearest" if rng.random() < 0.8 else "bilinear"
            h = layers.UpSampling2D(scale, interpolation=how)(z)
            rate = int(rng.integers(1, 3))
            h = layers.Conv2D(channels, kernel, 1, padding, dilation_rate=rate)(h)
        if rng.random() < 0.6:
            h = layers.Activation("tanh")(h) if rng.random() < 0.3 else h
            last = layers.Conv2D if rng.random() < 0.5 else layers.Conv2DTranspose
            behind = str(rng.choice(["same", "valid"], p=[0.8, 0.2]))
            h = last(int(rng.choice([1, 3, 18])), int(rng.integers(1, 6)), 1, behind)(h)
    except ValueError:
        return None
    model = keras.Model({"z": z}, {"x_logits": h}, name="decoder")
    empty = any(0 in layer.output.shape for layer in model.layers)
    return None if empty else randomize(model, seed)


def test_random_layers_are_exact_in_every_lowering() -> None:
    done = 0
    for seed in itertools.count():
        if done == LAYERS:
            break
        model = random_model(seed)
        if model is None:
            continue
        z = {"z": draw(seed, 2, *model.inputs[0].shape[1:])}
        try:
            wanted = run(model, z)["x_logits"]
        except (tf.errors.InvalidArgumentError, tf.errors.AbortedError):
            continue  # an output_padding that TensorFlow refuses, or oneDNN within it
        # Each layer in one lowering, in turn: tracing all of them would take minutes.
        lowering = LOWERINGS[1 + done % (len(LOWERINGS) - 1)]
        got = run(lower(fold(normalize(model)), lowering), z)["x_logits"]
        scale = max(1e-3, float(np.abs(wanted).max()))
        assert got.shape == wanted.shape, f"seed {seed}, {lowering}"
        assert np.abs(got - wanted).max() <= 1e-5 * scale, f"seed {seed}, {lowering}"
        done += 1


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "crop"),
    [(5, 3, 2, 1, 0), (4, 4, 2, 1, 1), (7, 5, 3, 2, 4), (3, 2, 4, 1, 0), (6, 6, 4, 3, 2)],
)
def test_windows_are_the_definition_of_a_dilated_strided_transposed_convolution(
    size: int, kernel: int, stride: int, dilation: int, crop: int
) -> None:
    """TensorFlow can't run dilated ones on a CPU, so this is against the sum written out."""
    x, taps = draw(0, size), draw(1, kernel)
    full = np.zeros((size - 1) * stride + (kernel - 1) * dilation + 1)
    for j, a in itertools.product(range(size), range(kernel)):
        full[j * stride + a * dilation] += x[j] * taps[a]
    wanted = full[crop:]
    axis = Axis(size, len(wanted), kernel, stride, dilation, crop, transposed=True)
    for block in (stride, 2 * stride):
        w = window(axis, list(range(block)), block)
        cut = max(0, -w.pads[0]), max(0, -w.pads[1])
        padded = np.pad(x[cut[0] : size - cut[1]], [max(0, pad) for pad in w.pads])
        got = np.zeros(-(-len(wanted) // block) * block)
        for m, (r, of_output) in itertools.product(range(len(got) // block), enumerate(w.taps)):
            got[m * block + r] = sum(padded[m * w.stride + i] * taps[a] for a, i, _ in of_output)
        np.testing.assert_allclose(got[: len(wanted)], wanted, atol=1e-5)
