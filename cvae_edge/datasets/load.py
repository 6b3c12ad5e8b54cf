"""From the word after ``--data`` to a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvae_edge.config import DataConfig
from cvae_edge.datasets import files, image_folder, keras_data, packaged
from cvae_edge.datasets.dataset import Dataset, Split, make_dataset
from cvae_edge.errors import DataError
from cvae_edge.images import convert_array
from cvae_edge.preprocess import Binarize, Pixels

_LOOKED_AT = 1000  # images that tell whether pixels are binary


def load_dataset(config: DataConfig) -> Dataset:
    """Read and split the data that ``config`` names, its images as ``config`` describes them.

    Raises:
        DataError: it is not there, cannot be read, or is not fit to train on.
    """
    train, test = _read(config)
    height, width, channels = train.images.shape[1:]
    pixels = Pixels(
        (*(config.image_size or (height, width)), config.channels or channels),
        config.fit,
        config.background,
        config.binarize or _default_binarize(config.source, train),
    ).checked()
    if config.image_size or config.channels:
        train = _converted(train, pixels)
        test = None if test is None else _converted(test, pixels)
    return make_dataset(config.source, train, test, config.validation, pixels)


def _converted(split: Split, pixels: Pixels) -> Split:
    return Split(convert_array(split.images, pixels), split.labels)


def _default_binarize(source: str, train: Split) -> Binarize:
    """MNIST is binary by custom; so is what holds nothing between black and white."""
    if source in ("mnist", "keras:mnist"):
        return "threshold"
    values = np.unique(train.images[:_LOOKED_AT])
    white = 255 if train.images.dtype == np.uint8 else 1.0
    return "threshold" if set(values.tolist()) <= {0, white} else "none"


def _read(config: DataConfig) -> tuple[Split, Split | None]:
    source = config.source
    if source == "mnist":
        return packaged.read_mnist()
    if source.startswith("keras:"):
        return keras_data.read_keras(source.removeprefix("keras:"))
    path = Path(source)
    if path.is_file() and path.suffix == ".npz":
        return files.read_npz(path)
    if path.is_dir():
        if files.find_idx(path):
            return files.read_idx_folder(path)
        return image_folder.read_folder(path, config), None
    raise DataError(
        "--data takes mnist, keras:NAME, a folder of IDX files or of images, or an .npz file, "
        f"got {source!r}, which is {'another file' if path.exists() else 'not there'}"
    )
