"""Readers for IDX files (MNIST's own format) and .npz files."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.array_files import ArrayFile
from cvae_edge.datasets.dataset import Split
from cvae_edge.errors import DataError
from cvae_edge.images import check_images
from cvae_edge.memory import require_memory
from cvae_edge.regular_files import open_regular
from cvae_edge.zips import check_expansion

_UBYTE = 0x08
_CHUNK = 1 << 20
_ARRAYS = {"x_train": ("x_train", "y_train", "x_test", "y_test"), "x": ("x", "y")}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzip or not (http://yann.lecun.com/exdb/mnist).

    Raises:
        DataError: it cannot be read, is cut short, or holds another type.
    """
    try:
        with open_regular(path) as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else contextlib.nullcontext(file) as content:
                return _read_idx(content, os.fstat(file.fileno()).st_size)  # type: ignore[arg-type] # a GzipFile reads as a file
    except (DataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _read_idx(file: IO[bytes], packed: int) -> NDArray[np.uint8]:
    start = file.read(4)
    if len(start) < 4 or start[:3] != bytes([0, 0, _UBYTE]) or not 1 <= start[3] <= 4:
        raise DataError(
            f"it must be an IDX file of unsigned bytes in 1 to 4 dimensions, got {start.hex()!r}"
        )
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"it is cut short: its header has {4 + 4 * start[3]} bytes")
    shape = struct.unpack(f">{start[3]}I", sizes)
    size = math.prod(shape)
    check_expansion(size, packed)
    require_memory(size, "an IDX file")
    content = bytearray()  # grows with the file's real content, not with what the header promises
    while part := file.read(min(_CHUNK, size + 1 - len(content))):
        content += part
    if len(content) != size:
        got = len(content) if len(content) < size else "more"
        raise DataError(f"it must hold {size} bytes for its shape {shape}, got {got}")
    return np.frombuffer(content, np.uint8).reshape(shape)


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
        with open_regular(path) as file:
            archive = ArrayFile(file)
            names = archive.names or []
            name = "x_train" if "x_train" in names else "x"
            if name not in names:
                got = ", ".join(sorted(names)) or "none"
                raise DataError(
                    f"it must hold the arrays x_train and perhaps x_test, or x, got {got}"
                )
            arrays = {key: archive.read(key) for key in _ARRAYS[name] if key in names}
    except (DataError, OSError) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
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
