import numpy as np
import pytest
from conftest import blobs
from PIL import Image

from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.datasets.image_folder import read_folder
from cvae_edge.errors import DataError, DataWarning


def config(**options):
    return DataConfig("folder", **options)


@pytest.fixture
def folder(tmp_path):
    suffixes = ("png", "bmp", "webp", "PNG")
    for i, image in enumerate(blobs(40)):
        path = tmp_path / f"class {i % 3}" / f"{i:02}.{suffixes[i % 4]}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(path, lossless=True)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_read_from_all_subfolders_in_the_order_of_their_paths(folder):
    images = read_folder(folder, config(channels=1)).images
    order = [i for remainder in range(3) for i in range(remainder, 40, 3)]
    assert np.array_equal(images, blobs(40)[order])


def test_images_are_resized_and_made_grey_or_colour(folder):
    assert read_folder(folder, config(image_size=(12, 16), channels=3)).images.shape == (
        40,
        12,
        16,
        3,
    )
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 255
    Image.fromarray(colour).save(folder / "red.png")
    grey = read_folder(folder, config(channels=1)).images[-1]
    assert np.abs(grey.astype(int) - 76).max() <= 1  # 0.299 of red, ITU-R 601


def test_mixed_sizes_need_image_size(folder):
    Image.new("L", (16, 8)).save(folder / "wide.png")
    with pytest.raises(DataError, match=r"got 8 and 16 in .*wide.png: give --image-size"):
        read_folder(folder, config(channels=1))
    assert len(read_folder(folder, config(image_size=(8, 8), channels=1))) == 41


def test_a_broken_image_is_skipped_by_name_and_many_are_an_error(folder):
    (folder / "torn.png").write_bytes((folder / "class 0" / "00.png").read_bytes()[:60])
    with pytest.warns(DataWarning, match=r"skipped: .*torn\.png is not a readable image"):
        assert len(read_folder(folder, config(channels=1))) == 40
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("not an image")
    with (
        pytest.warns(DataWarning),
        pytest.raises(DataError, match=r"at most 5% .* got 3 of 43, .*empty\.png first"),
    ):
        read_folder(folder, config())


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="must hold IDX files or images"):
        load_dataset(DataConfig(str(tmp_path)))


def test_most_images_decide_between_grey_and_colour_with_a_word(folder):
    for i in range(3):
        Image.new("RGB", (8, 8), "red").save(folder / f"red {i}.png")
    with pytest.warns(
        DataWarning, match="30 images are in grey and 13 in colour: all are made grey"
    ):
        assert read_folder(folder, config()).images.shape == (43, 8, 8, 1)
    for i in range(50):
        Image.new("RGB", (8, 8), "red").save(folder / f"more {i}.png")
    with pytest.warns(DataWarning, match="63 images are in colour and 30 in grey"):
        assert read_folder(folder, config()).images.shape == (93, 8, 8, 3)


def test_hidden_files_are_no_images(folder):
    (folder / "._00.png").write_bytes(b"AppleDouble")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "0.png").write_bytes(b"AppleDouble")
    assert len(read_folder(folder, config(channels=1)).images) == 40


def test_idx_in_a_photos_name_makes_no_idx_folder(folder):
    Image.new("L", (8, 8)).save(folder / "cell_idx_041.png")
    assert len(load_dataset(DataConfig(str(folder), channels=1)).train) == 34


def test_masks_are_scaled_over_the_whole_folder(tmp_path):
    for i in range(20):
        mask = Image.new("L", (8, 8))
        mask.putpixel((i % 8, 3), i % 2)
        mask.save(tmp_path / f"{i:02}.png")
    with pytest.warns(DataWarning, match="hold only 0 and 1"):
        images = read_folder(tmp_path, config()).images
    assert images.max() == 255
    assert images[0].max() == 0


@pytest.mark.parametrize("first", ["grey", "colour"])
def test_the_first_image_decides_nothing(tmp_path, first):
    for i in range(9):
        is_grey = (i == 0) == (first == "grey")
        grey = Image.new("L", (8, 8), 90)
        (grey if is_grey else grey.convert("RGB")).save(tmp_path / f"{i}.png")
    with pytest.warns(DataWarning, match="8 images are in .* and 1 in .*--channels decides"):
        images = read_folder(tmp_path, config()).images
    assert images.shape == (9, 8, 8, 3 if first == "grey" else 1)
    assert (images == 90).all()


def test_sixteen_bit_masks_padded_to_a_size_are_not_black(tmp_path):
    mask = np.zeros((8, 8), np.uint16)
    mask[3:5] = 1
    for i in range(9):
        Image.fromarray(mask).save(tmp_path / f"{i}.png")
    with pytest.warns(DataWarning, match=r"0\.png and 8 more hold only 0 and 1"):
        images = read_folder(tmp_path, config(image_size=(8, 12), fit="pad")).images
    np.testing.assert_array_equal(images[0, :, 2:10, 0], mask > 0)
    assert images[0, :, :2].min() == 1  # the white background
