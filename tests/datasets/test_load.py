import numpy as np
import pytest
from conftest import MNIST_IDX, blobs

from cvae_edge.config import DataConfig
from cvae_edge.datasets import keras_data, load_dataset, packaged
from cvae_edge.errors import ConfigError, DataError
from cvae_edge.preprocess import draw_binary


def test_packaged_mnist_is_all_of_mnist_in_black_and_white():
    train, test = packaged.read_mnist()
    assert train.images.shape == (60_000, 28, 28, 1)
    assert test.images.shape == (10_000, 28, 28, 1)
    assert set(np.unique(train.images)) == {0, 255}
    # Counts from the documentation of MNIST.
    assert np.bincount(train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


@pytest.mark.skipif(not MNIST_IDX.is_dir(), reason=f"no original MNIST at {MNIST_IDX}")
def test_the_packaged_file_follows_from_the_originals(tmp_path):
    packaged.pack_mnist(MNIST_IDX, tmp_path / "mnist.npz")
    with np.load(tmp_path / "mnist.npz") as new, np.load(packaged.PATH) as shipped:
        assert new.files == shipped.files
        assert all(np.array_equal(new[name], shipped[name]) for name in new.files)


def test_mnist_holds_out_5000_validation_images_that_are_not_trained_on():
    dataset = load_dataset(DataConfig())
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [
        55000,
        5000,
        10000,
    ]
    assert dataset.binarize == "threshold"
    counts = np.bincount(dataset.train.labels) + np.bincount(dataset.validation.labels)
    assert counts.tolist() == np.bincount(packaged.read_mnist()[0].labels).tolist()
    assert np.bincount(dataset.validation.labels).min() > 400  # drawn from everywhere


def numbered(n):
    """Images that can be told apart."""
    images = np.zeros((n, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(n) % 251, np.arange(n) // 251
    return images


def identities(split):
    return {(int(i[0, 0, 0]), int(i[0, 1, 0])) for i in split.images}


@pytest.mark.parametrize("validation", [None, 0, 17])
def test_splits_are_disjoint_and_complete(tmp_path, validation):
    np.savez(tmp_path / "d.npz", x=numbered(400), y=np.arange(400))
    dataset = load_dataset(DataConfig(str(tmp_path / "d.npz"), validation=validation))
    parts = [identities(s) for s in (dataset.train, dataset.validation, dataset.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 400
    assert len(parts[1]) == (36 if validation is None else validation)
    assert len(parts[2]) == 40
    for split in (dataset.train, dataset.validation, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert label == int(image[0, 0, 0]) + 251 * int(image[0, 1, 0])


def test_an_npz_keeps_its_own_test_images(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=numbered(50), x_test=blobs(7))
    dataset = load_dataset(DataConfig(str(tmp_path / "d.npz")))
    assert np.array_equal(dataset.test.images, blobs(7))
    assert dataset.binarize == "none"
    assert dataset.pixels.image_shape == (8, 8, 1)


def test_images_of_black_and_white_alone_are_binary(tmp_path):
    np.savez(tmp_path / "d.npz", x=(blobs(30) > 120).astype(np.uint8) * np.uint8(255))
    assert load_dataset(DataConfig(str(tmp_path / "d.npz"))).binarize == "threshold"


def test_one_grey_pixel_anywhere_makes_images_not_binary(tmp_path):
    images = (blobs(3000) > 120).astype(np.uint8) * np.uint8(255)
    images[-1, 0, 0] = 128
    np.savez(tmp_path / "d.npz", x_train=images, x_test=images[:9])
    assert load_dataset(DataConfig(str(tmp_path / "d.npz"), validation=1)).binarize == "none"


def test_arrays_keep_their_precision_when_they_are_resized(tmp_path):
    ramp = np.linspace(0, 1, 20 * 40 * 40, dtype=np.float32).reshape(20, 40, 40)
    np.savez(tmp_path / "d.npz", x=ramp)
    dataset = load_dataset(DataConfig(str(tmp_path / "d.npz"), image_size=(20, 20)))
    assert dataset.train.images.dtype == np.float32
    assert len(np.unique(dataset.train.images)) > 4000


def test_arrays_are_resized_and_made_grey_like_folders(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 16, 8, 3), np.uint8))
    config = DataConfig(str(tmp_path / "d.npz"), image_size=(8, 12), channels=1, fit="pad")
    dataset = load_dataset(config)
    assert dataset.image_shape == (8, 12, 1)
    assert dataset.pixels.fit == "pad"
    assert dataset.train.images[0, :, 0].min() == 255  # the white beside it


def test_colour_is_left_grey_valued_by_default(tmp_path):
    np.savez(tmp_path / "d.npz", x=blobs(20).repeat(3, axis=3))
    dataset = load_dataset(DataConfig(str(tmp_path / "d.npz")))
    assert dataset.image_shape == (8, 8, 3)
    assert dataset.binarize == "none"


def test_draws_threshold_draw_or_leave():
    grey = np.full((200, 8, 8, 1), 0.3, np.float32)
    grey[0] = 0.5
    static, drawn, left = (draw_binary(grey, how, seed=1) for how in ("threshold", "draw", "none"))
    assert static[0].min() == 1
    assert static[1:].max() == 0
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn[1:].mean() == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(drawn, draw_binary(grey, "draw", seed=1))
    assert not np.array_equal(drawn, draw_binary(grey, "draw", seed=2))
    assert left is grey


def test_static_thresholds_bytes_where_x_over_255_reaches_a_half():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    expected = (np.arange(256) / 255 >= 0.5).reshape(1, 16, 16, 1)
    assert np.array_equal(draw_binary(images, "threshold", 0), expected)


def test_validation_must_leave_something_to_train_on(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=numbered(50), x_test=blobs(7))
    with pytest.raises(DataError, match="has 50, got 50"):
        load_dataset(DataConfig(str(tmp_path / "d.npz"), validation=50))
    with pytest.raises(ConfigError):
        DataConfig(validation=-1)


@pytest.mark.parametrize("source", ["nowhere", "keras:letters", "keras:"])
def test_an_unknown_source_is_refused(source):
    with pytest.raises(DataError, match="got"):
        load_dataset(DataConfig(source))


def test_a_failed_download_is_one_sentence(monkeypatch):
    pytest.importorskip("tensorflow")
    import keras

    def fail():
        raise Exception("URL fetch failure on https://example.org: None -- timed out")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail)
    with pytest.raises(DataError, match="keras:cifar10 could not be downloaded: URL fetch failure"):
        load_dataset(DataConfig("keras:cifar10"))


def test_keras_data_is_read_through_keras(monkeypatch):
    pytest.importorskip("tensorflow")
    import keras

    colour = np.zeros((30, 32, 32, 3), np.uint8)
    labels = np.arange(30).reshape(30, 1)  # CIFAR's labels are a column
    monkeypatch.setattr(
        keras.datasets.cifar10, "load_data", lambda: ((colour, labels), (colour, labels))
    )
    train, test = keras_data.read_keras("cifar10")
    assert train.images.shape == test.images.shape == (30, 32, 32, 3)
    assert train.labels.tolist() == list(range(30))
