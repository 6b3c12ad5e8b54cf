"""Images in and out."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.images import (
    check_images,
    convert_array,
    image_grid,
    over_white,
    read_image,
    to_pixels,
    write_image,
)
from cvae_edge.preprocess import Pixels, threshold, to_float


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
        images = np.ones((1, 8, 8), dtype)
        images[0, 0, 0] = 0
        if dtype == np.uint8:
            images *= 200
        assert check_images(images).dtype == expected
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
    assert threshold(np.array([127, 128], np.uint8)).tolist() == [0, 1]
    assert threshold(np.array([0.499, 0.5], np.float32)).tolist() == [0, 1]


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


def test_values_are_scaled_by_the_range_of_their_type():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(1, 8, 8)
    np.testing.assert_allclose(check_images(ramp)[..., 0], ramp / 65535, rtol=1e-6)


def test_a_mask_of_0_and_1_is_black_and_white_with_a_word():
    mask = np.zeros((3, 8, 8), np.uint8)
    mask[1, 2:5] = 1
    with pytest.warns(DataWarning, match="hold only 0 and 1, which is taken for black and white"):
        assert check_images(mask).max() == 255
    assert check_images(np.zeros((3, 8, 8), np.uint8)).max() == 0  # black, and no mask


def save(tmp_path, image, **options):
    path = tmp_path / "a.png"
    image.save(path, **options)
    return path


def test_transparency_shows_the_background_and_never_hidden_colours(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 0] = 255  # red everywhere, hidden on the left
    pixels[:, 4:, 3] = 255
    path = save(tmp_path, Image.fromarray(pixels))
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]
    assert read_image(path)[0, 7].tolist() == [255, 0, 0]
    assert read_image(path, background="#0000ff")[0, 0].tolist() == [0, 0, 255]
    assert read_image(path, channels=1)[0, 0].tolist() == [255]
    assert read_image(path, channels=4)[0, 0].tolist() == [255, 0, 0, 0]
    assert read_image(path, channels=2).shape == (8, 8, 2)


def test_palettes_transparent_or_not_and_cmyk_are_read_as_colour(tmp_path):
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((7, 0), 1)
    path = save(tmp_path, palette, transparency=0)
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]
    assert read_image(path)[0, 7].tolist() == [255, 0, 0]
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red = read_image(tmp_path / "a.jpg")[0, 0].astype(int)
    assert np.abs(red - [255, 0, 0]).max() < 5


def test_a_white_shape_on_clear_ground_needs_another_background(tmp_path):
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:, 4:, 3] = 0
    path = save(tmp_path, Image.fromarray(pixels))
    with pytest.warns(DataWarning, match=r"a\.png is all of one colour on the background #ffffff"):
        read_image(path)
    assert (
        read_image(path, channels=1, background="#000000")[0, :, 0].tolist() == [255] * 4 + [0] * 4
    )


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    got = read_image(save(tmp_path, Image.fromarray(ramp)))[..., 0]
    assert np.abs(got.astype(float) - ramp / 257).max() <= 0.51
    Image.fromarray(ramp.astype(np.float32) / 65535).save(tmp_path / "a.tif")
    got = read_image(tmp_path / "a.tif")[..., 0]
    assert np.abs(got.astype(float) - ramp / 257).max() <= 0.51


def test_the_exif_orientation_is_followed(tmp_path):
    image = Image.new("RGB", (12, 8))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = read_image(save(tmp_path, image, exif=exif))
    assert pixels.shape == (12, 8, 3)
    assert pixels[0, -1].tolist() == [255, 255, 255]


def test_an_animation_gives_its_first_frame_with_a_word(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(DataWarning, match=r"a\.gif has 3 frames: the first is taken"):
        pixels = read_image(tmp_path / "a.gif")
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_a_program_in_an_image_files_place_is_not_started(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(DataError, match="not a readable image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_another_size_is_reached_as_asked(tmp_path, fit):
    """A wide image, white in the middle half: what is at the new left edge?"""
    pixels = np.zeros((8, 32), np.uint8)
    pixels[:, 8:24] = 255
    path = save(tmp_path, Image.fromarray(pixels))
    got = read_image(path, (16, 16), None, fit, "#000000")
    assert got.shape == (16, 16, 1)
    left = int(got[8, 0, 0])
    assert left == (255 if fit == "crop" else 0)
    top = int(got[0, 8, 0])
    assert top == (0 if fit == "pad" else 255)


def test_arrays_are_made_what_pixels_describe():
    images = np.zeros((2, 8, 16, 3), np.uint8)
    images[..., 0] = 255
    got = convert_array(images, Pixels((4, 4, 1)))
    assert got.shape == (2, 4, 4, 1)
    assert np.abs(got.astype(int) - 76).max() <= 1  # 0.299 of red, ITU-R 601
    assert convert_array(images, Pixels((8, 16, 3))) is images


def test_alpha_is_shown_over_white():
    pixels = np.array([[[0, 0], [0, 255]]], np.uint8)
    assert over_white(pixels)[..., 0].tolist() == [[255, 0]]


SHARED_FAULTS = sorted((SHARED / "faults").glob("*.[pjg][npi][gf]"))


@pytest.mark.skipif(not SHARED_FAULTS, reason=f"no images that went wrong at {SHARED / 'faults'}")
def test_images_that_once_went_wrong_are_read_or_refused_in_a_sentence():
    refused = {"eps_as.png", "truncated.png"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        for path in SHARED_FAULTS:
            if path.name in refused:
                with pytest.raises(DataError, match="not a readable image"):
                    read_image(path)
            else:
                pixels = read_image(path, background="#00ff00")
                assert pixels.max() > pixels.min() or path.name == "mixedmode_first_is_grey.png"
