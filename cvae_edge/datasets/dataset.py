"""A data set in memory, and how it is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.errors import DataError
from cvae_edge.preprocess import Binarize, Pixels

_SPLIT_SEED = 0  # which images are held out never depends on the training's seed
_TEST_SHARE = 10  # one in ten, where a source has no test images of its own


@dataclass(frozen=True)
class Split:
    """Images (n, h, w, c), uint8 or float32 in [0, 1], and labels (n,) where there are any."""

    images: NDArray[Any]
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[np.int64]) -> Split:
        """Return the images at ``indices``."""
        return Split(self.images[indices], None if self.labels is None else self.labels[indices])

    def hold_out(self, n: int) -> tuple[Split, Split]:
        """Return (the rest, ``n`` images drawn without regard to their order)."""
        order = noise.permutation(len(self), _SPLIT_SEED, 0)
        return self.take(np.sort(order[n:])), self.take(np.sort(order[:n]))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of one image shape; test images never serve to choose anything."""

    name: str
    train: Split
    validation: Split
    test: Split
    pixels: Pixels

    @property
    def binarize(self) -> Binarize:
        """What is done to pixels before the likelihood."""
        return self.pixels.binarize

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        h, w, c = self.train.images.shape[1:]
        return h, w, c


def make_dataset(
    name: str, train: Split, test: Split | None, validation: int | None, pixels: Pixels
) -> Dataset:
    """Split ``train`` as far as ``test`` and the wanted number of validation images ask.

    Raises:
        DataError: too few images, or shapes of train and test that differ.
    """
    if test is None:
        train, test = train.hold_out(max(1, len(train) // _TEST_SHARE))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"train and test images of {name} must have one shape, "
            f"got {train.images.shape[1:]} and {test.images.shape[1:]}"
        )
    held_out = min(5000, len(train) // 10) if validation is None else validation
    if held_out >= len(train):
        raise DataError(
            f"validation must leave images to train on: {name} has {len(train)}, got {held_out}"
        )
    train, valid = train.hold_out(held_out)
    return Dataset(name, train, valid, test, pixels)
