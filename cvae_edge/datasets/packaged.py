"""MNIST, binarized and packed to one bit a pixel, as it ships in the package.

``python -m cvae_edge.datasets IDX_FOLDER`` makes the file from the original IDX files.
MNIST is by Y. LeCun and C. Cortes, CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvae_edge.datasets.dataset import Split
from cvae_edge.datasets.files import read_idx_folder
from cvae_edge.errors import DataError
from cvae_edge.preprocess import threshold
from cvae_edge.writing import new_file

PATH = Path(__file__).with_name("mnist.npz")
_SHAPE = (28, 28, 1)


def read_mnist() -> tuple[Split, Split]:
    """Return the 60,000 training and 10,000 test images, uint8 of 0 and 255, with labels."""
    with np.load(PATH, allow_pickle=False) as archive:
        train, test = (
            Split(
                np.unpackbits(archive[f"x_{part}"], axis=1).reshape(-1, *_SHAPE) * np.uint8(255),
                archive[f"y_{part}"],
            )
            for part in ("train", "test")
        )
    return train, test


def pack_mnist(folder: Path, out: Path = PATH) -> None:
    """Threshold the IDX files in ``folder`` (x / 255 >= 0.5), pack and write them to ``out``."""
    train, test = read_idx_folder(folder)
    if test is None or train.labels is None or test.labels is None:
        raise DataError(f"{folder} must hold MNIST's four IDX files")
    x_train, x_test = (
        np.packbits(threshold(split.images).astype(bool).reshape(len(split), -1), axis=1)
        for split in (train, test)
    )
    with new_file(out) as file:
        np.savez_compressed(
            file, x_train=x_train, y_train=train.labels, x_test=x_test, y_test=test.labels
        )
