"""A folder of images, any subfolders."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.config import DataConfig
from cvae_edge.datasets.dataset import Split
from cvae_edge.errors import DataError, DataWarning
from cvae_edge.fitting import fit_images
from cvae_edge.image_files import SUFFIXES, find_images, read_image, require_few_broken
from cvae_edge.preprocess import Pixels


def read_folder(folder: Path, config: DataConfig) -> Split:
    """Read every image below ``folder``, in the order of their paths; labels are none.

    Args:
        folder: searched with all its subfolders.
        config: size, channels, fit and background. Without channels most images decide; without a
            size all must have one.

    Warns:
        DataWarning: an image was skipped, or images of both kinds, grey and colour, were made one;
            and see ``fit_images`` and ``read_image``.

    Raises:
        DataError: no images, mixed sizes without a size, or more than 5% that cannot be read.
    """
    paths = find_images(folder)
    if not paths:
        raise DataError(f"{folder} must hold IDX files or images ({', '.join(SUFFIXES)}), got none")
    fitted, kinds, broken = _read(paths, config, config.channels)
    require_few_broken([str(path) for path in broken], len(paths))
    if config.channels is None and len(kinds) > 1:
        channels = _most_common(kinds)
        if channels != fitted[0].shape[3]:  # the first image, which decided, is of the fewer
            fitted, *_ = _read(paths, config, channels)
    return Split(np.concatenate(fitted))


def _read(
    paths: list[Path], config: DataConfig, channels: int | None
) -> tuple[list[NDArray[Any]], Counter[int], list[Path]]:
    """Return the fitted images; how many are grey (1) and colour (3); and the broken ones.

    Without ``channels`` or a size, the first image decides.
    """
    kinds: Counter[int] = Counter()
    broken: list[Path] = []

    def read() -> Iterator[tuple[str, NDArray[Any]]]:
        for path in paths:
            try:
                image = read_image(path)
            except DataError as error:
                broken.append(path)
                warnings.warn(f"skipped: {error}", DataWarning, stacklevel=2)
                continue
            kinds[1 if image.shape[2] <= 2 else 3] += 1
            yield str(path), image[np.newaxis]

    images = read()
    first = next(images, None)
    if first is None:
        return [], kinds, broken
    height, width = config.image_size or first[1].shape[1:3]
    pixels = Pixels((height, width, channels or max(kinds)), config.fit, config.background)
    option = None if config.image_size else "--image-size"
    return fit_images(chain([first], images), pixels, option), kinds, broken


def _most_common(kinds: Counter[int]) -> int:
    (channels, most), (_, fewer) = kinds.most_common()
    word = {1: "grey", 3: "colour"}
    warnings.warn(
        f"{most} images are in {word[channels]} and {fewer} in {word[4 - channels]}: all are made "
        f"{word[channels]}; --channels decides otherwise",
        DataWarning,
        stacklevel=3,
    )
    return channels
