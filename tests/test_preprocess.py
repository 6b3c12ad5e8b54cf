"""One description of pixels, on both sides."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cvae_edge.config import DataConfig
from cvae_edge.datasets.image_folder import read_folder
from cvae_edge.errors import ConfigError
from cvae_edge.preprocess import Pixels, draw_binary, prepare, to_float
from cvae_edge.runtime.inputs import read_images


def test_pixels_go_through_json_and_back():
    pixels = Pixels((45, 30, 3), "pad", "#a0b0c0", "none")
    fields = json.loads(json.dumps(pixels.to_dict()))
    assert Pixels.parse(fields) == pixels
    assert fields["orientation"] == "exif"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_shape": [8, 8]}, "image_shape must be"),
        ({"image_shape": [8, 8, 5]}, "1 to 4 channels"),
        ({"image_shape": None}, "must have an image_shape"),
        ({"fit": "squeeze"}, "fit must be one of stretch, crop, pad"),
        ({"binarize": ["none"]}, "binarize must be one of"),
        ({"background": "white"}, "background must be a colour such as #ffffff"),
        ({"orientation": "none"}, "orientation of pixels must be exif, as always, got 'none'"),
        ({"range": [-1, 1]}, r"range of pixels must be \[0, 1\], as always"),
    ],
)
def test_pixels_that_are_none_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Pixels.parse({**Pixels((8, 8, 1)).to_dict(), **change})


def test_a_device_takes_the_likelier_of_pixels_that_training_draws():
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    expected = (grey >= 0.5).astype(np.float32)
    np.testing.assert_array_equal(prepare(grey, "draw"), expected)
    np.testing.assert_array_equal(prepare(grey, "threshold"), expected)
    np.testing.assert_array_equal(prepare(grey, "none"), draw_binary(grey, "none"))


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_training_and_the_device_read_the_same_of_every_file(tmp_path, fit, channels):
    rng = np.random.default_rng(0)
    images = {
        "grey.png": Image.fromarray(rng.integers(0, 256, (20, 31), np.uint8)),
        "colour.jpg": Image.fromarray(rng.integers(0, 256, (17, 9, 3), np.uint8)),
        "clear.png": Image.fromarray(rng.integers(0, 256, (24, 24, 4), np.uint8)),
        "deep.tif": Image.fromarray(rng.integers(0, 65536, (12, 40), np.uint16)),
        "palette.gif": Image.fromarray(rng.integers(0, 256, (15, 15, 3), np.uint8)).quantize(),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
    config = DataConfig(str(tmp_path), (10, 14), channels, fit=fit, background="#123456")
    trained = read_folder(tmp_path, config).images
    pixels = Pixels((10, 14, channels), fit, "#123456")
    device = read_images([str(tmp_path)], pixels, resize=True)
    np.testing.assert_array_equal(trained, device.images)
    single = read_images([str(tmp_path / "clear.png")], pixels, resize=True).images
    in_the_set = trained[sorted(images).index("clear.png")]
    np.testing.assert_array_equal(to_float(single[0]), in_the_set)


def test_an_image_from_standard_input_is_read_like_a_file(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    pixels = Pixels((8, 8, 3))
    np.testing.assert_array_equal(
        read_images(["-"], pixels).images, read_images([str(tmp_path / "a.png")], pixels).images
    )
