from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from cvae_edge.config import ModelConfig
from cvae_edge.exporters.lowering import (
    block_kernel,
    convolution_kernel,
    folded_kernel,
    gathering_kernel,
    phase_kernels,
    subpixel_kernel,
)
from cvae_edge.exporters.networks import decoder_network
from cvae_edge.training.model import VAE

sizes = st.integers(1, 6)
channels = st.integers(1, 5)
seeds = st.integers(0, 2**16)


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def transposed(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    n, h, w, _ = x.shape
    shape = (n, stride * h, stride * w, kernel.shape[2])
    return tf.nn.conv2d_transpose(x, kernel, shape, stride, "SAME").numpy()


@settings(max_examples=40, deadline=None)
@given(h=sizes, w=sizes, c_in=channels, c_out=channels, seed=seeds)
def test_phases_in_place_equal_the_strided_transposed_convolution(
    h: int, w: int, c_in: int, c_out: int, seed: int
) -> None:
    x, kernel = draw(seed, 2, h, w, c_in), draw(seed + 1, 3, 3, c_out, c_in)
    expected = transposed(x, kernel, 2)
    for (p, q), part in phase_kernels(kernel).items():
        padded = np.pad(x, ((0, 0), (1 - p, 0), (1 - q, 0), (0, 0)))
        got = tf.nn.conv2d(padded, part, 1, "VALID").numpy()
        np.testing.assert_allclose(got, expected[:, p::2, q::2], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(h=sizes, w=sizes, c_in=channels, c_out=channels, seed=seeds)
def test_subpixel_convolution_equals_the_strided_transposed_one(
    h: int, w: int, c_in: int, c_out: int, seed: int
) -> None:
    x, kernel = draw(seed, 2, h, w, c_in), draw(seed + 1, 3, 3, c_out, c_in)
    padded = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    wide = tf.nn.conv2d(padded, subpixel_kernel(kernel), 1, "VALID")
    got = tf.nn.depth_to_space(wide, 2).numpy()
    np.testing.assert_allclose(got, transposed(x, kernel, 2), atol=1e-5)


def test_phases_have_the_nine_taps_and_no_more() -> None:
    kernel = draw(0, 3, 3, 2, 5)
    parts = phase_kernels(kernel)
    assert list(parts) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    taps = np.concatenate([part.ravel() for part in parts.values()])
    np.testing.assert_array_equal(np.sort(taps), np.sort(kernel.ravel()))


@settings(max_examples=40, deadline=None)
@given(h=sizes, w=sizes, c_in=channels, c_out=channels, seed=seeds)
def test_blocks_in_place_equal_the_layer(h: int, w: int, c_in: int, c_out: int, seed: int) -> None:
    x, kernel = draw(seed, 2, 4 * h, 4 * w, c_in), draw(seed + 1, 3, 3, c_out, c_in)
    wide = tf.nn.conv2d(x, block_kernel(kernel), 4, "SAME")
    got = tf.nn.depth_to_space(wide, 4).numpy()
    np.testing.assert_allclose(got, transposed(x, kernel, 1), atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(h=sizes, w=sizes, c_in=channels, c_out=channels, seed=seeds)
def test_folded_layer_equals_depth_to_space_and_then_the_layer(
    h: int, w: int, c_in: int, c_out: int, seed: int
) -> None:
    grid, kernel = draw(seed, 2, 2 * h, 2 * w, 4 * c_in), draw(seed + 1, 3, 3, c_out, c_in)
    wide = tf.nn.conv2d(grid, folded_kernel(kernel), 2, "SAME")
    got = tf.nn.depth_to_space(wide, 4).numpy()
    expected = transposed(tf.nn.depth_to_space(grid, 2).numpy(), kernel, 1)
    np.testing.assert_allclose(got, expected, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(h=sizes, w=sizes, c_in=channels, c_out=channels, seed=seeds)
def test_gathering_layer_equals_depth_to_space_and_then_the_layer(
    h: int, w: int, c_in: int, c_out: int, seed: int
) -> None:
    grid, kernel = draw(seed, 2, h, w, 4 * c_in), draw(seed + 1, 3, 3, c_out, c_in)
    got = transposed(grid, gathering_kernel(kernel), 2)
    expected = transposed(tf.nn.depth_to_space(grid, 2).numpy(), kernel, 1)
    np.testing.assert_allclose(got, expected, atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(h=sizes, w=sizes, c_in=channels, c_out=channels, seed=seeds)
def test_stride_1_transposed_equals_a_convolution_with_the_kernel_turned(
    h: int, w: int, c_in: int, c_out: int, seed: int
) -> None:
    x, kernel = draw(seed, 2, h, w, c_in), draw(seed + 1, 3, 3, c_out, c_in)
    got = tf.nn.conv2d(x, convolution_kernel(kernel), 1, "SAME").numpy()
    np.testing.assert_allclose(got, transposed(x, kernel, 1), atol=1e-5)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("lowering", ["transposed", "subpixel", "polyphase", "hybrid"])
@pytest.mark.parametrize("image_shape", [(8, 12, 1), (16, 8, 3)])
def test_lowered_decoder_equals_the_trained_one(
    layout: str, lowering: str, image_shape: tuple[int, int, int]
) -> None:
    config = ModelConfig(image_shape, 3, (4, 4), decoder_base=2, decoder_filters=(5, 3))
    vae = VAE(config)
    weights = {name: draw(i, *w.shape) for i, (name, w) in enumerate(vae.weights().items())}
    vae.load_weights(weights)
    z = draw(99, 4, 3)
    network = decoder_network(config, weights, layout, lowering)  # type: ignore[arg-type]
    expected = vae.decoder(z).numpy()
    np.testing.assert_allclose(
        network({"z": z})["x_logits"].numpy(), expected, atol=1e-5 * np.abs(expected).max()
    )
