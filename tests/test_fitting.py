"""Images become what a model takes: sizes, channels, backgrounds, masks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.fitting import fit_image, fit_images
from cvae_edge.preprocess import Pixels

RNG = np.random.default_rng(0)


def fitted(images, pixels, option=None):
    return fit_images([("a", images)], pixels, option)[0]


def test_images_that_fit_pass_as_they_are():
    images = RNG.integers(0, 256, (2, 8, 16, 3), np.uint8)
    assert fitted(images, Pixels((8, 16, 3)), "--resize") is images


def test_another_size_is_refused_where_no_fitting_was_asked_for():
    images = np.zeros((2, 8, 16, 3), np.uint8)
    with pytest.raises(
        DataError, match="height 8 and width 15 .* got 8 and 16 in a: give --resize"
    ):
        fitted(images, Pixels((8, 15, 3)), "--resize")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("own", [1, 2, 3, 4])
def test_channels_follow_the_formulas(dtype, own, channels):
    """Composite over the background, then ITU-R BT.601 for grey, with alpha kept only if asked."""
    unit = RNG.random((5, 7, own))
    image = np.rint(unit * 255).astype(np.uint8) if dtype == np.uint8 else unit.astype(np.float32)
    x = image.astype(np.float64) / (255 if dtype == np.uint8 else 1)
    luma, background = np.array([0.299, 0.587, 0.114]), np.array([0x20, 0x80, 0xF0]) / 255
    colour, alpha = (x[..., :-1], x[..., -1:]) if own % 2 == 0 else (x, np.ones((5, 7, 1)))
    if channels % 2 == 1 and own % 2 == 0:
        ground = background if own == 4 else background @ luma
        colour = colour * alpha + ground * (1 - alpha)
    if channels <= 2 and own >= 3:
        colour = (colour @ luma)[..., np.newaxis]
    if channels >= 3 and own <= 2:
        colour = colour.repeat(3, axis=2)
    expected = colour if channels % 2 else np.concatenate([colour, alpha], axis=2)
    got = fit_image(image, Pixels((5, 7, channels), background="#2080f0"))
    assert got.dtype == dtype
    scale, tolerance = (255, 0.501) if dtype == np.uint8 else (1, 1e-6)
    np.testing.assert_allclose(got, expected * scale, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("shape", "fit", "columns", "rows"),
    [
        ((8, 32), "stretch", (0, 16), (0, 16)),
        ((8, 32), "pad", (0, 16), (6, 10)),
        ((8, 32), "crop", (0, 16), (0, 16)),
        ((32, 8), "pad", (6, 10), (0, 16)),
        ((4, 4), "pad", (0, 16), (0, 16)),
    ],
)
def test_a_white_image_covers_what_its_fit_says(dtype, shape, fit, columns, rows):
    white = np.full((*shape, 1), 255 if dtype == np.uint8 else 1, dtype)
    got = fit_image(white, Pixels((16, 16, 1), fit, "#000000"))[..., 0]
    expected = np.zeros((16, 16))
    expected[rows[0] : rows[1], columns[0] : columns[1]] = white.max()
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_uint8_and_float_are_resized_alike(channels):
    image = RNG.integers(0, 256, (23, 31, channels), np.uint8)
    for fit in ("stretch", "crop", "pad"):
        pixels = Pixels((10, 17, channels), fit, "#336699")
        as_float = fit_image((image / np.float32(255)).astype(np.float32), pixels)
        np.testing.assert_allclose(fit_image(image, pixels), as_float * 255, atol=1.01)


def test_crop_takes_the_middle_and_is_pillows():
    image = RNG.integers(0, 256, (20, 50, 3), np.uint8)
    box = ((50 - 20) / 2, 0, (50 + 20) / 2, 20)
    expected = Image.fromarray(image).resize((9, 9), Image.Resampling.BILINEAR, box)
    got = fit_image(image, Pixels((9, 9, 3), "crop"))
    np.testing.assert_array_equal(got, np.asarray(expected))


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 4000, 3), (4000, 1, 2), (3, 2, 4), (1, 1, 1)])
def test_any_shape_becomes_any_other(shape, fit):
    for dtype in (np.uint8, np.float32):
        image = np.ones(shape, dtype)
        for channels in (1, 2, 3, 4):
            got = fit_image(image, Pixels((13, 9, channels), fit))
            assert (got.shape, got.dtype) == ((13, 9, channels), dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_hidden_colours_do_not_bleed_into_what_is_seen(dtype):
    """Green that alpha hides beside red: reduced to one row, no green may appear."""
    image = np.zeros((8, 8, 4), dtype)
    full = 255 if dtype == np.uint8 else 1
    image[:, :3] = (0, full, 0, 0)
    image[:, 3:] = (full, 0, 0, full)
    for channels in (3, 4):
        got = fit_image(image, Pixels((2, 2, channels), background="#000000"))
        assert got[..., 1].max() == 0
        assert got[..., 0].max() > 0.9 * full


def test_padding_is_the_background_and_clear_where_alpha_is_kept():
    image = np.full((4, 8, 3), 200, np.uint8)
    colour, both = (fit_image(image, Pixels((8, 8, c), "pad", "#102030")) for c in (3, 4))
    assert colour[0, 0].tolist() == [0x10, 0x20, 0x30]
    assert both[0, 0].tolist() == [0, 0, 0, 0]
    assert both[4, 4].tolist() == [200, 200, 200, 255]


def mask(n=6, dtype=np.uint8, channels=1):
    images = np.zeros((n, 16, 16, channels), np.uint8)
    images[1:, 4:12, 7] = 1  # the first is black
    return images if dtype == np.uint8 else images.astype(np.float32) / np.float32(65535)


WORD = "hold only 0 and 1, which is taken for black and white"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "pixels",
    [
        Pixels((16, 16, 1)),
        Pixels((20, 30, 1), "pad"),  # whose white border is brighter than a mask's 1
        Pixels((16, 16, 2)),  # whose alpha is
        Pixels((5, 5, 3)),  # in which no pixel is covered by half
    ],
)
def test_masks_become_black_and_white_with_a_word(dtype, pixels):
    white = fit_images([("a", mask(dtype=np.uint8) * np.uint8(255))], pixels)[0]
    with pytest.warns(DataWarning, match=WORD):
        got = fitted(mask(dtype=dtype), pixels)
    full = 255 if dtype == np.uint8 else 1
    np.testing.assert_allclose(got / full, white / 255, atol=1 / 255)
    assert got.max() > 0.1 * full


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_whole_set_decides_what_is_a_mask(order):
    dim, photo = mask(), RNG.integers(0, 256, (3, 16, 16, 1), np.uint8)
    parts = [("dim", dim), ("photo", photo)][order]
    got = dict(
        zip([name for name, _ in parts], fit_images(parts, Pixels((16, 16, 1))), strict=True)
    )
    np.testing.assert_array_equal(got["dim"], dim)
    with pytest.warns(DataWarning, match=f"mask 1 and 4 more {WORD}"):
        each = fit_images(
            [(f"mask {i}", image[np.newaxis]) for i, image in enumerate(dim)], Pixels((16, 16, 1))
        )
    np.testing.assert_array_equal(np.concatenate(each), dim * 255)


def test_black_images_and_dim_floats_are_no_masks():
    black = np.zeros((3, 8, 8, 1), np.uint8)
    assert fitted(black, Pixels((8, 8, 1))).max() == 0
    dim = np.linspace(0, 1 / 255, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(fitted(dim, Pixels((8, 8, 1))), dim)


def test_the_types_of_a_set_are_made_one():
    bytes_, floats = np.full((1, 8, 8, 1), 51, np.uint8), np.full((1, 8, 8, 1), 0.7, np.float32)
    got = fit_images([("a", bytes_), ("b", floats)], Pixels((8, 8, 1)))
    assert [images.dtype for images in got] == [np.float32, np.float32]
    assert got[0].max() == np.float32(0.2)


def test_a_white_shape_on_clear_ground_needs_another_background():
    image = np.full((1, 8, 8, 4), 255, np.uint8)
    image[..., 4:, 3] = 0
    with pytest.warns(DataWarning, match="a cannot be seen on the background #ffffff: give ano"):
        fitted(image, Pixels((8, 8, 3)))
    seen = fitted(image, Pixels((8, 8, 1), background="#000000"))
    assert seen[0, 0, :, 0].tolist() == [255] * 4 + [0] * 4
    fitted(image, Pixels((8, 8, 4)))  # alpha shows it
