"""Readers for IDX files (MNIST's own format) and .npz files."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.datasets.dataset import Split
from cvae_edge.errors import DataError
from cvae_edge.images import check_images

_UBYTE = 0x08


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzip or not (http://yann.lecun.com/exdb/mnist).

    Raises:
        DataError: it cannot be read, is cut short, or holds another type.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UBYTE]) or not 1 <= content[3] <= 4:
        raise DataError(
            f"{path} must be an IDX file of unsigned bytes in 1 to 4 dimensions, "
            f"got {content[:4].hex()!r}"
        )
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataError(f"{path} is cut short: its header alone has {header} bytes")
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path} must hold {math.prod(shape)} bytes for its shape {shape}, "
            f"got {len(content) - header}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def find_idx(folder: Path) -> list[Path]:
    """Return the IDX files in ``folder``, by their names."""
    return sorted(
        p
        for p in folder.iterdir()
        if not p.name.startswith(".")  # a Mac's copy of attributes, say
        and re.search(r"[-._]idx[1-4][-._]ubyte(\.gz)?$", p.name)
        and p.is_file()
    )


def read_idx_folder(folder: Path) -> tuple[Split, Split | None]:
    """Read ``*train*images*idx3*`` and, where there, ``*t10k*`` or ``*test*`` and the labels.

    Raises:
        DataError: no training images, or more or fewer labels than images.
    """
    names = find_idx(folder)

    def read(part: tuple[str, ...]) -> Split | None:
        found = {
            kind: [p for p in names if kind in p.name and any(word in p.name for word in part)]
            for kind in ("images", "labels")
        }
        if not found["images"]:
            return None
        labels = read_idx(found["labels"][0]) if found["labels"] else None
        return _split(read_idx(found["images"][0]), labels, str(found["images"][0]))

    train = read(("train",))
    if train is None:
        raise DataError(f"{folder} has IDX files but none named *train*images*")
    return train, read(("t10k", "test"))


def read_npz(path: Path) -> tuple[Split, Split | None]:
    """Read ``x_train`` and perhaps ``x_test``, or ``x``; ``y_train``, ``y_test``, ``y`` are labels.

    Raises:
        DataError: it cannot be read, holds other arrays, or they are no images.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a parser of anyone's bytes may raise anything
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    name = next((name for name in ("x_train", "x") if name in arrays), None)
    if name is None:
        raise DataError(
            f"{path} must hold the arrays x_train and perhaps x_test, or x, got "
            f"{sorted(arrays) or 'none'}"
        )
    train = _split(arrays[name], arrays.get(name.replace("x", "y", 1)), f"{name} of {path}")
    if name == "x" or "x_test" not in arrays:
        return train, None
    return train, _split(arrays["x_test"], arrays.get("y_test"), f"x_test of {path}")


def _split(images: Any, labels: Any, what: str) -> Split:
    images = check_images(images, what)
    if labels is not None and labels.ndim > 1 and len(labels) == len(images):
        # One column is how keras.datasets has them; nothing asks for labels of another form.
        labels = labels[:, 0] if labels.shape == (len(images), 1) else None
    if labels is not None and labels.shape != (len(images),):
        raise DataError(f"{what} must have one label an image: {len(images)}, got {labels.shape}")
    return Split(images, labels)
