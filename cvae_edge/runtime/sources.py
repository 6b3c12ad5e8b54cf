"""The files that a command line names, one after another: alone, in folders, in archives."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from cvae_edge.errors import DataError
from cvae_edge.image_files import SUFFIXES, walk_images
from cvae_edge.regular_files import open_regular

STANDARD = "-"  # standard input, or output
ARRAYS = (".npy", ".npz")
TARS = (".tar", ".tar.gz", ".tgz")
_ARRAY_BYTES = (b"\x93NUM", b"PK\x03\x04")  # that .npy and .npz files begin with


class File(NamedTuple):
    """A file with one image or, where it was named itself, with an array of them."""

    name: str  # what to call it
    path: str  # within the folder or archive that was named
    content: bytes | None = None  # None: it is on the disk
    named: bool = False

    def open(self) -> IO[bytes]:
        """Open the file.

        Raises:
            DataError: it cannot be read.
        """
        return _open(self.name) if self.content is None else io.BytesIO(self.content)

    def is_array(self) -> bool:
        """Whether it is an .npy or .npz file."""
        if not self.named:
            return False
        with self.open() as content:
            return content.read(4) in _ARRAY_BYTES or Path(self.name).suffix.lower() in ARRAYS


class Sources:
    """Image files; folders, of which every image is read; archives; arrays; standard input.

    They are looked up anew each time, so that no list of them is held.

    Raises:
        DataError: here and later: one is not there, or cannot be read.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = sources
        self._standard = read_standard() if STANDARD in sources else b""
        for source in sources:
            if source != STANDARD and not Path(source).is_dir() and not Path(source).is_file():
                missing = "no file" if Path(source).exists() else "not there"
                raise DataError(f"{source} is {missing}")

    def files(self) -> Iterator[File]:
        """Give the files, in the order of the sources."""
        for source in self._sources:
            none = True
            for file in self._files_of(source):
                none = False
                yield file
            if none:
                raise DataError(f"{source} must hold images ({', '.join(SUFFIXES)}), got none")

    def count(self) -> int | None:
        """Return how many files there are; None where an archive does not tell."""
        if any(_is_tar(source) and not Path(source).is_dir() for source in self._sources):
            return None
        return sum(1 for _ in self.files())

    def inputs(self) -> Iterator[str]:
        """Give the names of all files on the disk that are read."""
        for source in self._sources:
            if Path(source).is_dir():
                yield from (file.name for file in self._files_of(source))
            else:
                yield source

    def _files_of(self, source: str) -> Iterator[File]:
        if source == STANDARD:
            yield File(source, "stdin", self._standard, named=True)
        elif Path(source).is_dir():
            folder = "" if Path(source) == Path() else str(Path(source))
            for path in walk_images(Path(source)):
                yield File(os.path.join(folder, path), path)
        elif _is_tar(source):
            from cvae_edge.runtime.tars import read_tar  # 10 ms that others spare

            for path, content in read_tar(_open(source), source):
                yield File(f"{source}/{path}", path, content)
        else:
            yield File(source, Path(source).name, named=True)


def _is_tar(source: str) -> bool:
    return source.lower().endswith(TARS)


def open_source(source: str) -> IO[bytes]:
    """Open a file, or standard input.

    Raises:
        DataError: it cannot be read.
    """
    return io.BytesIO(read_standard()) if source == STANDARD else _open(source)


def read_standard() -> bytes:
    """Return all of standard input: a pipe cannot go back, and zips need to."""
    if sys.stdin is None:
        raise DataError("standard input is closed: name a file")
    return sys.stdin.buffer.read()


def _open(name: str) -> IO[bytes]:
    try:
        return open_regular(name)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
