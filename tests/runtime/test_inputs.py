"""What a device reads: files, folders and arrays become what its model takes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cvae_edge.errors import DataError, DataWarning
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime.arguments import as_images
from cvae_edge.runtime.inputs import read_images

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (9, 12, 2), (8, 8, 3), (4, 4, 4), (3, 3, 3), (2, 3, 4)]
)
def test_batches_and_single_images_of_any_channels_are_told_apart(shape):
    images = RNG.integers(2, 256, (5, *shape), np.uint8)
    np.testing.assert_array_equal(as_images(images, shape), images)
    np.testing.assert_array_equal(as_images(images[0], shape), images[:1])
    if shape[2] == 1:
        np.testing.assert_array_equal(as_images(images[..., 0], shape), images)
        np.testing.assert_array_equal(as_images(images[0, ..., 0], shape), images[:1])
    else:
        for wrong in (images[..., 0], images[0, ..., 0], images[..., :1]):
            with pytest.raises(DataError, match="the model takes images of"):
                as_images(wrong, shape)


def test_masks_handed_to_a_model_are_black_and_white():
    mask = np.zeros((2, 8, 8), np.uint8)
    mask[:, 2:5] = 1
    with pytest.warns(DataWarning, match="the images hold only 0 and 1"):
        assert as_images(mask, (8, 8, 1)).max() == 255
    with pytest.warns(DataWarning, match="the images hold only 0 and 1"):
        assert as_images(mask.astype(np.uint16), (8, 8, 1)).max() == 1
    assert as_images(mask > 0, (8, 8, 1)).max() == 255  # no word needed


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (1, 20, 30), (1, 20, 30, 4), (8, 8, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_array_of_another_size_is_read_like_a_file_of_it(tmp_path, shape, channels):
    image = RNG.integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "a.npy", image)
    Image.fromarray(image[0] if image.shape[0] == 1 else image).save(tmp_path / "a.png")
    pixels = Pixels((8, 8, channels), "pad", "#405060")
    array, file = (
        read_images([str(tmp_path / name)], pixels, resize=True).images
        for name in ("a.npy", "a.png")
    )
    assert array.shape == (1, 8, 8, channels)
    np.testing.assert_array_equal(array, file)


def test_another_size_is_refused_unless_asked_for_and_names_the_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 20, 30)))
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    for name in ("a.npy", "a.png"):
        with pytest.raises(
            DataError, match=rf"height 8 .*got 20 and 30 in .*{name}: give --resize"
        ):
            read_images([str(tmp_path / name)], Pixels((8, 8, 1)))


def test_names_and_order_are_those_of_the_sources(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 8, 8), 0.25))
    for name, grey in (("c/2.png", 2), ("c/1.png", 200), ("c/.3.png", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), grey).save(tmp_path / name)
    seen = []
    sources = [str(tmp_path / "c"), str(tmp_path / "a.npy")]
    named = read_images(sources, Pixels((8, 8, 1)), on_file=lambda *n: seen.append(n))
    assert [name.removeprefix(str(tmp_path)) for name in named.names] == [
        "/c/1.png", "/c/2.png", "/a.npy[0]", "/a.npy[1]",
    ]  # fmt: skip
    expected = np.array([200 / 255, 2 / 255, 0.25, 0.25], np.float32)
    np.testing.assert_allclose(named.images[:, 0, 0, 0], expected)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_reading_imports_neither_data_sets_nor_their_configuration():
    code = "import sys, cvae_edge.runtime.inputs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"PIL", "cvae_edge.datasets", "cvae_edge.config"} & set(done.stdout.split())
