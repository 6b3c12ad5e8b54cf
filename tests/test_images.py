"""Images in and out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cvae_edge.errors import DataError
from cvae_edge.image_files import read_image
from cvae_edge.images import (
    check_images,
    image_grid,
    over_white,
    to_pixels,
    write_image,
)
from cvae_edge.preprocess import threshold, to_float


def test_images_without_channels_get_one():
    assert check_images(np.zeros((3, 8, 8))).shape == (3, 8, 8, 1)


def test_types_become_uint8_or_float32():
    for dtype, expected in (
        (np.uint8, np.uint8),
        (bool, np.uint8),
        (np.float16, np.float32),
        (np.float64, np.float32),
        (np.uint16, np.float32),
    ):
        assert check_images(np.ones((1, 8, 8), dtype)).dtype == expected
    assert check_images(np.ones((1, 8, 8), bool)).max() == 255


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((8, 8)),
        np.zeros((0, 8, 8)),
        np.zeros((1, 8, 0)),
        np.zeros((1, 8, 8), np.int32),
        np.zeros((2, 3, 32, 32), np.uint8),  # channels first
        np.full((1, 8, 8), 2.0),
        np.full((1, 8, 8), -1e-3),
        np.full((1, 8, 8), np.nan),
        np.full((1, 8, 8), -np.inf),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(DataError, match="got"):
        check_images(images)


def test_the_threshold_is_half_and_half_is_white():
    assert threshold(np.array([127, 128], np.uint8)).tolist() == [0, 1]
    assert threshold(np.array([0.499, 0.5], np.float32)).tolist() == [0, 1]


def test_pixels_and_floats_are_each_others_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_pixels(to_float(pixels)), pixels)


def test_a_written_image_is_read_back(tmp_path):
    for channels in (1, 2, 3, 4):
        pixels = np.random.default_rng(0).integers(1, 256, (9, 12, channels), np.uint8)
        write_image(tmp_path / "new" / "a.png", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), pixels)


def test_a_format_without_alpha_gets_the_image_on_white(tmp_path):
    write_image(tmp_path / "a.bmp", np.array([[[9, 0], [9, 255]]], np.uint8))
    with Image.open(tmp_path / "a.bmp") as image:
        assert np.asarray(image).tolist() == [[255, 9]]


def test_a_scale_repeats_pixels(tmp_path):
    write_image(tmp_path / "a.png", np.array([[[0], [255]]], np.uint8), scale=3)
    expected = np.repeat([[0, 0, 0, 255, 255, 255]], 3, axis=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], expected)


def test_an_unknown_ending_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_image(tmp_path / "a.xyz", np.zeros((8, 8, 1), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_grid_is_square_unless_told():
    images = np.zeros((7, 8, 8, 1))
    assert image_grid(images).shape == (32, 32, 1)  # 3 x 3
    assert image_grid(images, columns=7, gap=0).shape == (8, 56, 1)
    assert image_grid(np.zeros((2, 8, 8, 3)), columns=1).shape == (22, 12, 3)


def test_a_grid_holds_each_image_in_reading_order():
    images = np.stack([np.full((8, 8, 1), i / 10) for i in range(4)])
    grid = image_grid(images, columns=2)
    corners = [grid[2, 2, 0], grid[2, 12, 0], grid[12, 2, 0], grid[12, 12, 0]]
    assert corners == [0, 26, 51, 76]
    assert grid[0, 0, 0] == 255


def test_values_are_scaled_by_the_range_of_their_type():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(1, 8, 8)
    np.testing.assert_allclose(check_images(ramp)[..., 0], ramp / 65535, rtol=1e-6)


def test_alpha_is_shown_over_white():
    pixels = np.array([[[0, 0], [0, 255]]], np.uint8)
    assert over_white(pixels)[..., 0].tolist() == [[255, 0]]
