"""What a data set's files are, so that another one in its place is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cvae_edge.datasets import files, keras_data, packaged
from cvae_edge.image_files import find_images

Fingerprint = dict[str, tuple[int, str]]  # by name: bytes, SHA-256
_NAMED = 3  # of the files that differ
_FILE = "the file"  # whose name does not matter where it is all there is


def fingerprint(source: str) -> Fingerprint:
    """Return size and SHA-256 of everything that ``load_dataset`` reads for ``source``.

    A folder's files go by their path in it, so that the folder may move.

    Raises:
        DataError, OSError: something cannot be read.
    """
    if source.startswith("keras:"):
        splits = keras_data.read_keras(source.removeprefix("keras:"))
        images = (np.ascontiguousarray(split.images).data for split in splits)
        return {
            name: (x.nbytes, hashlib.sha256(x).hexdigest())
            for name, x in zip(("train", "test"), images, strict=True)
        }
    path = packaged.PATH if source == "mnist" else Path(source)
    if not path.is_dir():
        return {_FILE: _of_file(path)}
    found = files.find_idx(path) or find_images(path)
    return {file.relative_to(path).as_posix(): _of_file(file) for file in found}


def difference(old: Mapping[str, tuple[int, str]], new: Mapping[str, tuple[int, str]]) -> str:
    """Say which files differ, the first by name; nothing if none does."""
    words = {
        **{name: "is gone" for name in old if name not in new},
        **{name: "is new" for name in new if name not in old},
        **{name: "was changed" for name in old if name in new and old[name] != new[name]},
    }
    said = [f"{name} {words[name]}" for name in sorted(words)[:_NAMED]]
    more = [f"{len(words) - _NAMED} more"] if len(words) > _NAMED else []
    return ", ".join(said + more)


def _of_file(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
