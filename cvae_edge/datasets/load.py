"""From the word after ``--data`` to a data set."""

from __future__ import annotations

from pathlib import Path

from cvae_edge.config import Binarize, DataConfig
from cvae_edge.datasets import files, image_folder, keras_data, packaged
from cvae_edge.datasets.dataset import Dataset, Split, make_dataset
from cvae_edge.errors import DataError


def load_dataset(config: DataConfig) -> Dataset:
    """Read and split the data that ``config`` names.

    Raises:
        DataError: it is not there, cannot be read, or is not fit to train on.
    """
    train, test = _read(config)
    how: Binarize = config.binarize or _default_binarize(config.source, train)
    return make_dataset(config.source, train, test, config.validation, how)


def _default_binarize(source: str, train: Split) -> Binarize:
    if source in ("mnist", "keras:mnist"):
        return "static"
    return "dynamic" if train.images.shape[-1] == 1 else "none"


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
        return image_folder.read_folder(path, config.image_size, config.channels), None
    raise DataError(
        "--data takes mnist, keras:NAME, a folder of IDX files or of images, or an .npz file, "
        f"got {source!r}, which is {'another file' if path.exists() else 'not there'}"
    )
