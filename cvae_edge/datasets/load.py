"""From the word after ``--data`` to a data set."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.config import DataConfig
from cvae_edge.datasets import files, image_folder, keras_data, packaged
from cvae_edge.datasets.dataset import Dataset, Split, make_dataset
from cvae_edge.errors import DataError, DataWarning
from cvae_edge.fitting import fit_images
from cvae_edge.preprocess import Binarize, Pixels, to_float

_CHUNK = 4096  # images looked at together
_DARK = 1 / 16  # of a type's range


def load_dataset(config: DataConfig) -> Dataset:
    """Read and split the data that ``config`` names, its images as ``config`` describes them.

    Warns:
        DataWarning: images are nearly black; and see ``fit_images`` and ``read_folder``.

    Raises:
        DataError: it is not there, cannot be read, or is not fit to train on.
    """
    train, test = _read(config)
    _warn_if_dark(config.source, train.images)
    height, width, channels = train.images.shape[1:]
    binarize = config.binarize or _default_binarize(config.source, train.images)
    pixels = Pixels((height, width, channels), config.fit, config.background, binarize).checked()
    return make_dataset(config.source, train, test, config.validation, pixels)


def _read(config: DataConfig) -> tuple[Split, Split | None]:
    """Return train and, where the source has one, test, fitted to ``config``."""
    source = config.source
    if source == "mnist":
        return _fitted(config, *packaged.read_mnist())
    if source.startswith("keras:"):
        return _fitted(config, *keras_data.read_keras(source.removeprefix("keras:")))
    path = Path(source)
    if path.is_file() and path.suffix == ".npz":
        return _fitted(config, *files.read_npz(path))
    if path.is_dir():
        if files.find_idx(path):
            return _fitted(config, *files.read_idx_folder(path))
        return image_folder.read_folder(path, config), None
    raise DataError(
        "--data takes mnist, keras:NAME, a folder of IDX files or of images, or an .npz file, "
        f"got {source!r}, which is {'another file' if path.exists() else 'not there'}"
    )


def _fitted(config: DataConfig, train: Split, test: Split | None) -> tuple[Split, Split | None]:
    """Give arrays the size and channels asked for; without a size they must have one already."""
    splits = {"training": train} | ({} if test is None else {"test": test})
    height, width = config.image_size or train.images.shape[1:3]
    shape = height, width, config.channels or train.images.shape[3]
    images = fit_images(
        ((f"the {name} images of {config.source}", s.images) for name, s in splits.items()),
        Pixels(shape, config.fit, config.background),
        None if config.image_size else "--image-size",
    )
    fitted = [Split(x, split.labels) for x, split in zip(images, splits.values(), strict=True)]
    return fitted[0], None if test is None else fitted[1]


def _warn_if_dark(source: str, images: NDArray[Any]) -> None:
    """Values are scaled by their type's range, so that 12 bits in a type of 16 come out dark."""
    top = float(to_float(images.max(keepdims=True)).max())
    if 0 < top < _DARK:
        warnings.warn(
            f"no pixel of {source} is above {100 * top:.2g}% of its type's range: if the values "
            "have fewer bits than their type, scale them first",
            DataWarning,
            stacklevel=3,
        )


def _default_binarize(source: str, images: NDArray[Any]) -> Binarize:
    """MNIST is binary by custom; so is what holds nothing between black and white."""
    if source in ("mnist", "keras:mnist"):
        return "threshold"
    white = 255 if images.dtype == np.uint8 else 1
    chunks = (images[low : low + _CHUNK] for low in range(0, len(images), _CHUNK))
    binary = all(((chunk == 0) | (chunk == white)).all() for chunk in chunks)
    return "threshold" if binary else "none"
