"""Zips that nobody vouches for: bundles, and arrays in .npz files. Stdlib only."""

from __future__ import annotations

import zipfile
from typing import IO

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others can't be unpacked in bounds
_MAX_DIRECTORY = 1 << 20  # bytes; 10,000 files and more
_CHUNK = 1 << 20
_ALWAYS_FINE, _MAX_RATIO = 1 << 29, 100  # bytes; bytes unpacked for one that is packed


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip whose directory is not absurd.

    Raises:
        ValueError: it is no zip, damaged, or holds a file that is encrypted or packed in a way
            other than deflate.
    """
    try:
        # What zipfile itself goes by; it would read a directory of any size.
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        if end and end[zipfile._ECD_SIZE] > _MAX_DIRECTORY:  # type: ignore[attr-defined]
            raise ValueError("its list of files is absurdly long")
        archive = zipfile.ZipFile(file)
    except Exception as error:  # a parser of anyone's bytes may raise anything
        raise ValueError(f"it is no readable zip: {error}") from error
    for entry in archive.infolist():
        if entry.flag_bits & 1:
            raise ValueError(f"{entry.filename!r} is encrypted")
        if entry.compress_type not in _METHODS:
            raise ValueError(f"{entry.filename!r} must be stored or deflated")
    return archive


def check_expansion(unpacked: int, packed: int) -> None:
    """Raise ValueError if so few packed bytes become so many that they were made to do harm."""
    if unpacked > _ALWAYS_FINE and unpacked > _MAX_RATIO * packed:
        raise ValueError(
            f"what has more than {_ALWAYS_FINE >> 20} MB must not be packed more than {_MAX_RATIO} "
            f"times, got {unpacked >> 20} MB in {packed >> 10} kB: store it unpacked"
        )


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return a file of a zip, reading no more than the zip says that it has.

    Raises:
        ValueError: it is damaged, or has another size.
    """
    try:
        content = bytearray()
        with archive.open(entry) as file:
            while part := file.read(min(_CHUNK, entry.file_size + 1 - len(content))):
                content += part
    except Exception as error:  # as above
        raise ValueError(f"{entry.filename!r} cannot be unpacked: {error}") from error
    if len(content) != entry.file_size:
        raise ValueError(f"{entry.filename!r} must have {entry.file_size} bytes, got another size")
    return bytes(content)
