"""A folder of images, any subfolders."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cvae_edge.config import DataConfig
from cvae_edge.datasets.dataset import Split
from cvae_edge.errors import DataError, DataWarning
from cvae_edge.images import SUFFIXES, read_image, scale_mask

_BROKEN_SHARE = 0.05  # more than this and the folder, not a file, is wrong


def find_images(folder: Path) -> list[Path]:
    """Return the images below ``folder``, by path; hidden files and folders are passed over."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(folder).parts)
    )


def read_folder(folder: Path, config: DataConfig) -> Split:
    """Read every image below ``folder``, in the order of their paths; labels are none.

    Args:
        folder: searched with all its subfolders.
        config: size, channels, fit and background. Without channels most images decide; without a
            size all must have one.

    Warns:
        DataWarning: an image was skipped, or images of both kinds, grey and colour, were made one.

    Raises:
        DataError: no images, mixed sizes without a size, or more than 5% that cannot be read.
    """
    paths = find_images(folder)
    if not paths:
        raise DataError(f"{folder} must hold IDX files or images ({', '.join(SUFFIXES)}), got none")
    images: dict[Path, NDArray[np.uint8]] = {}
    broken: list[Path] = []
    for path in paths:
        try:
            images[path] = _read(path, config, config.channels)
        except DataError as error:
            broken.append(path)
            warnings.warn(f"skipped: {error}", DataWarning, stacklevel=2)
    if len(broken) > _BROKEN_SHARE * len(paths):
        raise DataError(
            f"at most 5% of a folder's images may be broken, got {len(broken)} of {len(paths)} "
            f"in {folder}, {broken[0].name} first"
        )
    _unify_channels(images, config)
    first = next(iter(images.values())).shape
    for path, image in images.items():
        if image.shape != first:
            raise DataError(
                f"images of one size are needed, got {first[:2]} and {image.shape[:2]} "
                f"({path}): give --image-size"
            )
    return Split(scale_mask(np.stack(list(images.values())), f"the images of {folder}"))


def _read(path: Path, config: DataConfig, channels: int | None) -> NDArray[np.uint8]:
    return read_image(path, config.image_size, channels, config.fit, config.background)


def _unify_channels(images: dict[Path, NDArray[np.uint8]], config: DataConfig) -> None:
    counts = Counter(image.shape[2] for image in images.values())
    if len(counts) == 1:
        return
    (channels, most), (_, rest) = counts.most_common()
    word = {1: "grey", 3: "colour"}
    warnings.warn(
        f"{most} images are in {word[channels]} and {rest} in {word[4 - channels]}: all are made "
        f"{word[channels]}; --channels decides otherwise",
        DataWarning,
        stacklevel=3,
    )
    for path, image in images.items():
        if image.shape[2] != channels:
            images[path] = _read(path, config, channels)
