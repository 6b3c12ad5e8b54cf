"""A folder of images, any subfolders."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cvae_edge.datasets.dataset import Split
from cvae_edge.errors import DataError, DataWarning
from cvae_edge.images import SUFFIXES, read_image

_BROKEN_SHARE = 0.05  # more than this and the folder, not a file, is wrong


def read_folder(folder: Path, size: tuple[int, int] | None, channels: int | None) -> Split:
    """Read every image below ``folder``, in the order of their paths; labels are none.

    Args:
        folder: searched with all its subfolders.
        size: height and width to resize to; None needs images of one size.
        channels: 1 or 3; None takes the first image's.

    Raises:
        DataError: no images, mixed sizes without ``size``, or more than 5% that cannot be read.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise DataError(f"{folder} must hold IDX files or images ({', '.join(SUFFIXES)}), got none")
    images: list[NDArray[np.uint8]] = []
    broken: list[Path] = []
    for path in paths:
        try:
            image = read_image(path, size, channels)
        except DataError as error:
            broken.append(path)
            warnings.warn(f"skipped: {error}", DataWarning, stacklevel=2)
            continue
        channels = image.shape[2]
        if images and image.shape != images[0].shape:
            raise DataError(
                f"images of one size are needed, got {images[0].shape[:2]} and {image.shape[:2]} "
                f"({path}): give --image-size"
            )
        images.append(image)
    if len(broken) > _BROKEN_SHARE * len(paths):
        raise DataError(
            f"at most 5% of a folder's images may be broken, got {len(broken)} of {len(paths)} "
            f"in {folder}, {broken[0].name} first"
        )
    return Split(np.stack(images))
