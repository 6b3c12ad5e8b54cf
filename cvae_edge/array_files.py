""".npy and .npz files that nobody vouches for: read within what their headers promise."""

from __future__ import annotations

import math
import os
import zipfile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.memory import require_memory
from cvae_edge.zips import check_expansion, open_zip

_KINDS = "biufSU"  # numbers, and words for labels; objects and records have no place here
_CHUNK = 1 << 20
_ZIP = b"PK"


class ArrayFile:
    """The arrays of an open .npy or .npz file, each read when it is asked for.

    Raises:
        DataError: here and in ``read``: the file is damaged, holds something other than numbers, or
            does not fit into memory.
    """

    def __init__(self, file: IO[bytes], most: int | None = None) -> None:
        """Take a file of which at most ``most`` bytes may be unpacked."""
        self._file = file
        self._archive: zipfile.ZipFile | None = None
        try:
            file.seek(0)
            if file.read(len(_ZIP)) == _ZIP:
                self._archive = open_zip(file)
        except Exception as error:  # a parser of anyone's bytes may raise anything
            raise DataError(f"it cannot be read as .npy or .npz: {error}") from error
        entries = self._archive.infolist() if self._archive else []
        size = sum(entry.file_size for entry in entries)
        if most is not None and size > most:
            raise DataError(f"it must unpack to at most {most >> 20} MB, got {size >> 20} MB")
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}

    @property
    def names(self) -> list[str] | None:
        """Of the arrays in an .npz; None for an .npy, whose only array has no name."""
        return None if self._archive is None else list(self._entries)

    def read(self, name: str = "") -> NDArray[Any]:
        """Return an array."""
        try:
            if self._archive is None:
                size = self._file.seek(0, os.SEEK_END)
                self._file.seek(0)
                return _read_npy(self._file, size)
            entry = self._entries[name]
            check_expansion(entry.file_size, entry.compress_size)
            with self._archive.open(entry) as file:
                return _read_npy(file, entry.file_size)
        except Exception as error:  # as above
            what = f"its array {name}" if name else "it"
            raise DataError(f"{what} cannot be read: {error}") from error

    def header(self) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        """Return the shape of an .npy's array, whether it is in Fortran's order, and its type."""
        try:
            size = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            return _read_header(self._file, size)
        except Exception as error:  # as above
            raise DataError(f"it cannot be read: {error}") from error

    def rows(self, low: int, high: int) -> NDArray[Any]:
        """Return rows of an .npy's array, which is not in Fortran's order, and read no others."""
        shape, _, dtype = self.header()
        try:
            width = math.prod(shape[1:])
            self._file.seek(low * width * dtype.itemsize, os.SEEK_CUR)
            values = _fill(self._file, np.empty((high - low) * width, dtype))
        except Exception as error:  # as above
            raise DataError(f"it cannot be read: {error}") from error
        return values.reshape(high - low, *shape[1:])

    def read_all(self) -> dict[str, NDArray[Any]]:
        """Return all arrays of an .npz by name."""
        if self._archive is None:
            raise DataError("it must be an .npz file, got an .npy file")
        return {name: self.read(name) for name in self._entries}


def _read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read what an array is, at the file's start, if it fills the ``size`` bytes of the file."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its .npy version must be 1.0 or 2.0, got {version}")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"it must hold numbers, got {dtype}")
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"it must have {size} bytes for its shape {shape} of {dtype}")
    return shape, fortran_order, dtype


def _read_npy(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read an array from the file's start; see ``_read_header``."""
    shape, fortran_order, dtype = _read_header(file, size)
    require_memory(size, "the array")
    values = _fill(file, np.empty(math.prod(shape), dtype))
    file.read(1)  # at a zip entry's end its checksum is compared
    return values.reshape(shape[::-1]).T if fortran_order else values.reshape(shape)


def _fill(file: IO[bytes], values: NDArray[Any]) -> NDArray[Any]:
    """Read an array's bytes into it."""
    places = memoryview(values.view(np.uint8))  # type: ignore[arg-type] # numpy 1.26's stubs
    done = 0
    while done < len(places):
        part = file.read(min(_CHUNK, len(places) - done))
        if not part:
            raise ValueError("it is cut short")
        places[done : done + len(part)] = part
        done += len(part)
    return values
