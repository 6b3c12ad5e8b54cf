"""A bundle in a .zip, read in place: nothing is ever unpacked to the disk."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from cvae_edge.errors import BundleError
from cvae_edge.manifest import MANIFEST

# A bundle has about twenty files and a few MB. These bounds are far above that, and far below what
# a file made to exhaust a device's memory would ask for.
_MAX_ENTRIES = 1000
_MAX_BYTES = 1 << 28  # unpacked, all files together


def read_zip(source: Path | bytes, name: str) -> Callable[[str], bytes]:
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
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        archive = zipfile.ZipFile(file)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BundleError(
            f"{name} is neither a bundle's folder nor a readable zip of one: {error}"
        ) from error
    entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    _check_entries(archive.infolist(), name)
    manifests = [PurePosixPath(n) for n in entries if PurePosixPath(n).name == MANIFEST]
    if len(manifests) != 1 or len(manifests[0].parts) > 2:
        raise BundleError(
            f"{name} must hold one {MANIFEST}, at its top or in one folder, "
            f"got {[str(p) for p in manifests] or 'none'}"
        )
    folder = manifests[0].parent

    def read(wanted: str) -> bytes:
        entry = entries.get(str(folder / wanted))
        if entry is None:
            raise BundleError(f"{name}: {wanted} is missing")
        try:
            return archive.read(entry)
        except (
            OSError,
            EOFError,
            ValueError,
            RuntimeError,  # encrypted
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise BundleError(f"{name}: {wanted} cannot be unpacked: {error}") from error

    return read


def _check_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise BundleError(f"{name} must hold at most {_MAX_ENTRIES} files, got {len(entries)}")
    total = sum(entry.file_size for entry in entries)
    if total > _MAX_BYTES:
        raise BundleError(
            f"{name} must unpack to at most {_MAX_BYTES >> 20} MB, its files say {total >> 20} MB"
        )
    names = [entry.filename for entry in entries]
    for entry in names:
        path = PurePosixPath(entry)
        if path.is_absolute() or ".." in path.parts or "\\" in entry or ":" in entry:
            raise BundleError(f"{name} holds a file name that leads out of it: {entry!r}")
    if len(set(names)) != len(names):
        raise BundleError(f"{name} must name every file once")
