"""A bundle in a .zip, read in place: nothing is ever unpacked to the disk."""

from __future__ import annotations

import io
import weakref
import zipfile
from pathlib import Path, PurePosixPath

from cvae_edge.bundle import MAX_BYTES, Read
from cvae_edge.errors import BundleError
from cvae_edge.manifest import MANIFEST
from cvae_edge.regular_files import open_regular
from cvae_edge.untrusted import leads_out
from cvae_edge.zips import open_zip, read_entry

_MAX_ENTRIES = 1000  # a bundle has about twenty


def read_zip(source: Path | bytes, name: str) -> Read:
    """Return a reader of a zip's files by name, for ``Bundle.from_reader``.

    The bundle's files lie at the top of the zip, or all in one folder.

    Args:
        source: the zip.
        name: what to call it in messages.

    Raises:
        BundleError: it is no zip, holds unsafe names, would unpack to an absurd size, or holds no
            bundle, or more than one.
    """
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source, MAX_BYTES)
    except OSError as error:
        raise BundleError(f"{name} cannot be read: {error.strerror}") from error
    try:
        archive = open_zip(file)
        weakref.finalize(archive, file.close)
    except ValueError as error:
        file.close()
        raise BundleError(
            f"{name} is neither a bundle's folder nor a readable zip of one: {error}"
        ) from error
    entries = _entries(archive.infolist(), name)
    manifests = [path for path in entries if path.name == MANIFEST]
    if len(manifests) != 1 or len(manifests[0].parts) > 2:
        raise BundleError(
            f"{name} must hold one {MANIFEST}, at its top or in one folder, "
            f"got {[str(p) for p in manifests][:5] or 'none'}"
        )
    folder = manifests[0].parent

    def read(wanted: str, most: int) -> bytes:
        entry = entries.get(folder / wanted)
        if entry is None:
            raise BundleError(f"{name}: {wanted} is missing")
        if entry.file_size > most:
            raise BundleError(
                f"{name}: {wanted} must have at most {most:,} bytes, got {entry.file_size:,}"
            )
        try:
            return read_entry(archive, entry)
        except ValueError as error:
            raise BundleError(f"{name}: {error}") from error

    return read


def _entries(listed: list[zipfile.ZipInfo], name: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return a zip's files by their paths; Windows may have written these with backslashes."""
    if len(listed) > _MAX_ENTRIES:
        raise BundleError(f"{name} must hold at most {_MAX_ENTRIES} files, got {len(listed)}")
    total = sum(entry.file_size for entry in listed)
    if total > MAX_BYTES:
        raise BundleError(
            f"{name} must unpack to at most {MAX_BYTES >> 20} MB, its files say {total >> 20} MB"
        )
    names = [entry.filename.replace("\\", "/") for entry in listed]
    files = [(PurePosixPath(n), e) for n, e in zip(names, listed, strict=True) if n[-1:] != "/"]
    for path, entry in files:
        if leads_out(str(path)) or ":" in entry.filename:
            raise BundleError(f"{name} holds a file name that leads out of it: {entry.filename!r}")
    if len(dict(files)) != len(files):
        raise BundleError(f"{name} must name every file once")
    return dict(files)
