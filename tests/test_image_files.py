"""Image files, as they are."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.fitting import fit_image
from cvae_edge.image_files import find_images, read_image
from cvae_edge.preprocess import Pixels

FAULTS = SHARED / "faults"
needs_faults = pytest.mark.skipif(not FAULTS.is_dir(), reason=f"no faulty inputs at {FAULTS}")
RAMP = np.linspace(0, 65535, 6 * 9).astype(np.uint16).reshape(6, 9)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "gif", "tif", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_lossless_format_gives_its_pixels(tmp_path, suffix, channels):
    pixels = np.random.default_rng(0).integers(0, 5, (9, 12, channels), np.uint8) * np.uint8(60)
    image = Image.fromarray(pixels.squeeze())
    if (suffix, channels) == ("gif", 3):
        image = image.quantize(125)
    got = saved(tmp_path, image, f"a.{suffix}", lossless=True)
    if suffix == "webp":  # which knows no grey
        pixels = np.broadcast_to(pixels, (9, 12, 3))
    np.testing.assert_array_equal(got, pixels)


def test_an_open_file_is_read_like_its_path(tmp_path):
    Image.new("RGB", (5, 9), "red").save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(read_image(file), read_image(tmp_path / "a.png"))


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match=r"a\.png is not a readable image: it is no PNG, JPEG"):
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


def test_a_program_in_an_image_files_place_is_not_started(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )

    def start(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", start)
    with pytest.raises(DataError, match="it is no PNG"):
        read_image(tmp_path / "a.png")


def test_colours_that_alpha_hides_are_no_part_of_an_image(tmp_path):
    pixels = np.full((4, 6, 4), (255, 80, 10, 0), np.uint8)
    pixels[:, 3:, 3] = 128
    got = saved(tmp_path, Image.fromarray(pixels))
    assert got[0, 0].tolist() == [0, 0, 0, 0]
    assert got[0, 5].tolist() == [255, 80, 10, 128]


@pytest.mark.parametrize(
    ("image", "transparency", "expected"),
    [
        (Image.new("L", (2, 1), 7), 7, [[[0, 0], [9, 255]]]),
        (Image.new("RGB", (2, 1), (7, 8, 9)), (7, 8, 9), [[[0, 0, 0, 0], [9, 9, 9, 255]]]),
        (Image.new("P", (2, 1), 0), 0, [[[0, 0, 0, 0], [9, 9, 9, 255]]]),
        (Image.new("P", (2, 1), 2), b"\x40\xff\x80", [[[40, 0, 0, 128], [9, 9, 9, 255]]]),
        (Image.new("P", (2, 1), 0), b"\x40\xff", [[[200, 0, 0, 64], [9, 9, 9, 255]]]),
    ],
)
def test_transparency_by_a_colour_or_a_palette_is_alpha(tmp_path, image, transparency, expected):
    if image.mode == "P":
        image.putpalette([200, 0, 0, 9, 9, 9, 40, 0, 0])
    image.putpixel((1, 0), {"L": 9, "P": 1}.get(image.mode, (9, 9, 9)))
    assert saved(tmp_path, image, transparency=transparency).tolist() == expected


def test_a_palette_of_greys_is_grey(tmp_path):
    image = Image.new("P", (2, 1), 1)
    image.putpalette([200, 200, 200, 9, 9, 9])
    image.putpixel((0, 0), 0)
    assert saved(tmp_path, image).tolist() == [[[200], [9]]]
    got = saved(tmp_path, image, transparency=b"\x40\xff")
    assert got.tolist() == [[[200, 64], [9, 255]]]


def test_transparency_in_16_bits_is_alpha(tmp_path):
    image = Image.fromarray(np.array([[0, 3000, 65535]], np.uint16))
    got = saved(tmp_path, image, transparency=3000)
    np.testing.assert_array_equal(got, np.array([[[0, 1], [0, 0], [1, 1]]], np.float32))


def test_cmyk_and_a_palette_are_colour_and_one_bit_is_black_and_white(tmp_path):
    red = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg")
    assert np.abs(red.astype(int) - [255, 0, 0]).max() < 5
    bits = Image.new("1", (8, 3))
    bits.putpixel((2, 1), 1)
    assert np.argwhere(saved(tmp_path, bits)).tolist() == [[1, 2, 0]]
    assert saved(tmp_path, bits).max() == 255


def test_sixteen_bits_are_scaled_by_65535_and_none_is_lost(tmp_path):
    for name in ("a.png", "a.tif"):
        got = saved(tmp_path, Image.fromarray(RAMP), name)
        np.testing.assert_allclose(got[..., 0], RAMP / 65535, rtol=1e-6)
    big_endian = Image.frombytes("I;16B", (9, 6), RAMP.astype(">u2").tobytes())
    got = saved(tmp_path, big_endian, "b.tif")
    np.testing.assert_allclose(got[..., 0], RAMP / 65535, rtol=1e-6)


def test_white_may_be_zero(tmp_path):
    got = saved(tmp_path, Image.fromarray(RAMP), "a.tif", tiffinfo={262: 0})
    np.testing.assert_allclose(got[..., 0], 1 - RAMP / 65535, atol=1e-6)


def test_thirty_two_bits_are_scaled_by_their_range_and_negative_ones_refused(tmp_path):
    values = (np.arange(54).reshape(6, 9) * 40_000_000).astype(np.int32)
    got = saved(tmp_path, Image.fromarray(values), "a.tif")  # signed
    np.testing.assert_allclose(got[..., 0], values / (2**31 - 1), rtol=1e-6)
    with pytest.raises(DataError, match="integer pixels must be 0 or more, got -9"):
        saved(tmp_path, Image.fromarray(values - 9), "a.tif")


def test_floating_point_lies_in_0_to_1_or_is_refused(tmp_path):
    values = (RAMP / 65535).astype(np.float32)
    np.testing.assert_array_equal(saved(tmp_path, Image.fromarray(values), "a.tif")[..., 0], values)
    for wrong in (values * 255, values - 0.5, values * np.nan):
        with pytest.raises(DataError, match=r"must lie in \[0, 1\], got"):
            saved(tmp_path, Image.fromarray(wrong), "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_the_exif_orientation_is_followed(tmp_path, orientation, suffix):
    upright = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)
    stored = {  # what a viewer that turns it by the orientation shows upright (EXIF 2.32, 4.6.4)
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    options = {"tiffinfo": {274: orientation}} if suffix == "tif" else {"exif": exif}
    got = saved(tmp_path, image, f"a.{suffix}", lossless=True, **options)
    np.testing.assert_array_equal(got, upright)


def test_damaged_exif_spoils_no_picture(tmp_path):
    for damaged in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x12", b""):
        got = saved(tmp_path, Image.new("L", (12, 8), 99), "a.jpg", exif=damaged)
        assert got.shape == (8, 12, 1)


def test_an_animation_gives_its_first_frame_with_a_word(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        with pytest.warns(DataWarning, match=rf"{name} has several frames: the first is taken"):
            got = saved(
                tmp_path, frames[0], name, save_all=True, append_images=frames[1:], lossless=True
            )
        assert got[0, 0, :3].tolist() == [255, 0, 0]


def test_a_photographs_previews_are_no_frames(tmp_path):
    Image.new("RGB", (8, 8), "red").save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))]
    )
    assert read_image(tmp_path / "a.jpg").shape == (8, 8, 3)


def test_hidden_files_and_other_files_are_not_found(tmp_path):
    for name in (
        "b/a.png", "a.JPG", "a.txt", "._a.png", ".cache/a.png", "__MACOSX/a.png",
        "b/.AppleDouble/a.png", "c.png/d.tiff",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert names == ["a.JPG", "b/a.png", "c.png/d.tiff"]


@needs_faults
def test_images_that_once_went_wrong_are_read_or_refused_in_a_sentence():
    files = sorted(p for p in FAULTS.iterdir() if p.suffix in (".png", ".jpg", ".gif"))
    assert len(files) >= 15
    refused = {"eps_as.png", "truncated.png"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        for path in files:
            if path.name in refused:
                with pytest.raises(DataError, match="not a readable image"):
                    read_image(path)
                continue
            image = read_image(path)
            seen = fit_image(image, Pixels((*image.shape[:2], 3), background="#00ff00"))
            assert seen.max() > seen.min() or path.name == "mixedmode_first_is_grey.png"


@needs_faults
def test_what_only_alpha_shows_is_seen_and_hidden_streaks_are_not():
    shape = fit_image(read_image(FAULTS / "alpha_only_shape.png"), Pixels((32, 32, 1)))
    assert shape.min() < 128 < shape.max()
    with Image.open(FAULTS / "emoji_hidden_rgb_streaks.png") as image:
        alpha = np.asarray(image)[..., 3]
    emoji = fit_image(read_image(FAULTS / "emoji_hidden_rgb_streaks.png"), Pixels((64, 64, 3)))
    assert (emoji[alpha == 0] == 255).all()


@needs_faults
def test_both_turned_photographs_show_the_same():
    turned, jpeg = (read_image(FAULTS / name).astype(int) for name in ("exif6.png", "exif6.jpg"))
    with Image.open(FAULTS / "exif6.png") as image:
        np.testing.assert_array_equal(turned[..., 0], np.rot90(np.asarray(image), -1))
    assert np.abs(turned - jpeg).mean() < 10


def test_linked_folders_are_followed_once_and_hidden_files_are_no_images(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside / "a", inside / ".hidden", outside / "b"):
        folder.mkdir(parents=True)
        for name in ("0.png", "._0.png"):
            Image.new("L", (8, 8)).save(folder / name)
    (inside / "loop").symlink_to(inside)
    (inside / "again").symlink_to(outside / "b")
    (inside / "z").symlink_to(outside)
    (inside / "nowhere").symlink_to(tmp_path / "nowhere")
    found = [str(path.relative_to(inside)) for path in find_images(inside)]
    assert found == ["a/0.png", "again/0.png"]
