"""Images in and out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cvae_edge.errors import DataError
from cvae_edge.images import (
    binarize,
    check_images,
    image_grid,
    read_image,
    to_float,
    to_pixels,
    write_image,
)


def test_images_without_channels_get_one():
    assert check_images(np.zeros((3, 8, 8))).shape == (3, 8, 8, 1)


def test_types_become_uint8_or_float32():
    for dtype, expected in (
        (np.uint8, np.uint8),
        (bool, np.uint8),
        (np.float16, np.float32),
        (np.float64, np.float32),
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
    assert binarize(np.array([127, 128], np.uint8)).tolist() == [0, 1]
    assert binarize(np.array([0.499, 0.5], np.float32)).tolist() == [0, 1]


def test_pixels_and_floats_are_each_others_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_pixels(to_float(pixels)), pixels)


def test_a_written_image_is_read_back(tmp_path):
    for channels in (1, 3):
        pixels = np.random.default_rng(0).integers(0, 256, (9, 12, channels), np.uint8)
        write_image(tmp_path / "new" / "a.png", pixels)
        np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), pixels)


def test_images_are_converted_and_resized(tmp_path):
    Image.new("RGBA", (30, 20), (255, 0, 0, 128)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (20, 30, 3)
    assert read_image(tmp_path / "a.png", (8, 12), 1).shape == (8, 12, 1)
    with (tmp_path / "a.png").open("rb") as file:
        assert read_image(file, channels=1).shape == (20, 30, 1)


def test_a_scale_repeats_pixels(tmp_path):
    write_image(tmp_path / "a.png", np.array([[[0], [255]]], np.uint8), scale=3)
    expected = np.repeat([[0, 0, 0, 255, 255, 255]], 3, axis=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], expected)


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match=r"a\.png is not a readable image"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="not a readable image"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="not a readable image"):
        read_image(io.BytesIO(b""))


def test_an_image_that_would_unpack_to_gigabytes_is_refused(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(DataError, match="bomb"):
        read_image(tmp_path / "bomb.png")


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
