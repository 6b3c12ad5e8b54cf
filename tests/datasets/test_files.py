import gzip
import os
import struct

import numpy as np
import pytest
from conftest import SHARED

from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.datasets.files import read_idx, read_idx_folder, read_npz
from cvae_edge.errors import DataError, DataWarning


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 40), ("t10k", 10)):
        images = rng.integers(0, 256, (n, 8, 12), np.uint8)
        labels = rng.integers(0, 10, n).astype(np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def test_idx_files_are_read_gzipped_or_not(folder):
    train, test = read_idx_folder(folder)
    raw = (folder / "train-images-idx3-ubyte").read_bytes()[16:]
    assert train.images.shape == (40, 8, 12, 1)
    assert train.images.tobytes() == raw
    assert test.labels.shape == (10,)
    assert load_dataset(DataConfig(str(folder))).image_shape == (8, 12, 1)


def test_a_missing_test_set_is_split_off(folder):
    for path in folder.glob("t10k*"):
        path.unlink()
    dataset = load_dataset(DataConfig(str(folder)))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (33, 3, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be an IDX file"),
        (b"\x89PNG\r\n\x1a\n", "must be an IDX file of unsigned bytes .* got '89504e47'"),
        (bytes([0, 0, 8, 3, 0, 0]), "cut short"),
        (
            idx(np.zeros((2, 4, 4), np.uint8))[:-1],
            r"must hold 32 bytes for its shape \(2, 4, 4\), got 31",
        ),
        (idx(np.zeros((2, 4, 4), np.uint8)) + b"x", "got more"),
        (bytes([0, 0, 13, 1]) + bytes(8), "unsigned bytes"),
        (bytes([0, 0, 8, 100]) + bytes(400), "1 to 4 dimensions, got '00000864'"),
        (gzip.compress(idx(np.zeros((99, 4, 4), np.uint8)))[:-20], "cannot be read"),
    ],
)
def test_a_half_written_idx_file_is_named(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_labels_must_be_as_many_as_images(folder):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(39, np.uint8)))
    with pytest.raises(DataError, match="one label an image: 40"):
        read_idx_folder(folder)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "got none"),
        ({"images": np.zeros((4, 8, 8))}, r"x_train and perhaps x_test, or x, got images"),
        (
            {"x": np.zeros((4, 8, 8), np.int32)},
            "uint8, uint16 or floating point in .0, 1., got int32",
        ),
        ({"x": np.zeros((4, 64))}, r"got \(4, 64\)"),
        ({"x": np.full((4, 8, 8), np.nan)}, "got NaN"),
        ({"x": np.full((4, 8, 8), 255.0)}, "got values from 255 to 255"),
        ({"x": np.zeros((0, 8, 8))}, "nothing of size 0"),
        ({"x": np.array([{}], object)}, "cannot be read"),
        (
            {"x_train": np.zeros((40, 8, 8)), "x_test": np.zeros((4, 12, 12))},
            "height 8 and width 8 are needed, got 12 and 12 in the test images of .* --image-size",
        ),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_dataset(DataConfig(str(tmp_path / "d.npz")))


def test_a_half_written_npz_is_named(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((40, 8, 8)))
    for content in (b"", b"text", path.read_bytes()[:500], path.read_bytes()[:-30]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"d\.npz cannot be read as \.npz"):
            read_npz(path)


def test_labels_may_be_a_column(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((40, 8, 8)), y=np.arange(40).reshape(40, 1))
    train, _ = read_npz(tmp_path / "d.npz")
    assert train.labels.tolist() == list(range(40))


def test_training_images_alone_are_split(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((40, 8, 8)), test_masks=np.zeros(3))
    train, test = read_npz(tmp_path / "d.npz")
    assert len(train) == 40
    assert test is None


NPZ_FAULTS = sorted((SHARED / "faults").glob("npz_*.npz"))


@pytest.mark.skipif(not NPZ_FAULTS, reason=f"no faulty inputs at {SHARED / 'faults'}")
@pytest.mark.parametrize("path", NPZ_FAULTS, ids=lambda path: path.stem)
def test_npz_files_that_once_broke_the_reader_are_one_sentence(path):
    with pytest.raises(DataError, match=path.name):
        read_npz(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_train_and_test_decide_together_what_is_a_mask(tmp_path, dtype):
    mask = np.zeros((40, 8, 8), dtype)
    mask[:, 2:5] = 1
    path = tmp_path / "d.npz"
    np.savez(path, x_train=mask, x_test=np.zeros((4, 8, 8), dtype))
    with pytest.warns(DataWarning, match="the training images of .* hold only 0 and 1"):
        dataset = load_dataset(DataConfig(str(path)))
    assert dataset.train.images.max() == (255 if dtype == np.uint8 else 1)
    assert dataset.binarize == "threshold"
    np.savez(path, x_train=mask * (np.iinfo(dtype).max // 2), x_test=mask)
    dataset = load_dataset(DataConfig(str(path), binarize="none", image_size=(8, 8)))
    assert dataset.test.images.max() <= 1


def test_values_of_fewer_bits_than_their_type_are_dark_with_a_word(tmp_path):
    ramp = np.arange(40 * 64, dtype=np.uint16).reshape(40, 8, 8)
    np.savez(tmp_path / "d.npz", x=ramp)
    with pytest.warns(DataWarning, match=r"no pixel of .* is above 3\.9% of its type's range"):
        dataset = load_dataset(DataConfig(str(tmp_path / "d.npz")))
    assert dataset.train.images.max() == np.float32(ramp.max() / 65535)


def test_labels_of_a_form_that_nothing_asks_for_are_passed_over(tmp_path):
    for shape, kept in (((20, 1), True), ((20, 10), False), ((20, 1, 1), False)):
        np.savez(tmp_path / "a.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.zeros(shape))
        train, _ = read_npz(tmp_path / "a.npz")
        assert len(train) == 20
        assert (train.labels is not None) == kept


def test_a_gzip_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 1 << 20, 64, 64)  # 4 GB
    path.write_bytes(gzip.compress(header + bytes(1 << 20)))
    with pytest.raises(DataError, match="packed more than 100 times"):
        read_idx(path)


def test_a_data_file_that_is_a_pipe_is_refused_without_waiting(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    os.mkfifo(path)
    for read in (read_idx, read_npz):
        with pytest.raises(DataError, match="regular file"):
            read(path)
