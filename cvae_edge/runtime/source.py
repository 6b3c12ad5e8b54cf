"""Where a bundle comes from: a folder, a .zip, the bytes of its files, or the package itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cvae_edge.bundle import Bundle, Read
from cvae_edge.errors import BundleError
from cvae_edge.folders import restore
from cvae_edge.manifest import MANIFEST

Source = str | Path | bytes | Mapping[str, bytes]

DEFAULT = Path("export/mnist")  # in the working folder


def default_bundle() -> Path:
    """Return export/mnist of the working folder or, without one, the bundle in the package.

    Raises:
        BundleError: there is neither.
    """
    restore(DEFAULT)
    if (DEFAULT / MANIFEST).is_file():
        return DEFAULT
    reference = reference_bundle()
    if reference is None:
        raise BundleError(
            f"a bundle is needed and there is no {DEFAULT}: name one, or make it with "
            "cvae-edge quickstart"
        )
    return reference


def reference_bundle() -> Path | None:
    """Return the folder of the bundle that ships with the package; None if this build has none."""
    package = Path(__file__).parents[1]
    for folder in (package / "reference", package.parent / "export" / "reference"):  # wheel, clone
        if (folder / MANIFEST).is_file():
            return folder
    return None


def open_bundle(source: Source | None = None, trust: bool = False) -> Bundle:
    """Open a bundle, wherever it is.

    Args:
        source: its folder; a .zip of it, as a path or as bytes; a mapping from file names to bytes;
            or None for ``default_bundle()``.
        trust: run its files whatever they hold; see ``guard.check_graph``.

    Raises:
        BundleError: it is not there, damaged, unsafe or of an unknown version.
    """
    if source is None:
        return Bundle.open(default_bundle(), trust)
    if isinstance(source, bytes):
        from cvae_edge.runtime.archive import read_zip

        return Bundle.from_reader(read_zip(source, "the zip"), "the zip", trust)
    if isinstance(source, Mapping):
        return Bundle.from_reader(_mapping_reader(source), "the bundle in memory", trust)
    path = Path(source)
    if path.is_file():
        from cvae_edge.runtime.archive import read_zip

        return Bundle.from_reader(read_zip(path, str(path)), str(path), trust)
    return Bundle.open(path, trust)


def _mapping_reader(files: Mapping[str, bytes]) -> Read:
    def read(name: str, most: int) -> bytes:
        content = files.get(name)
        if not isinstance(content, bytes | bytearray | memoryview):
            raise BundleError(f"the bundle in memory has no bytes named {name}")
        if len(content) > most:
            raise BundleError(f"{name} must have at most {most:,} bytes, got {len(content):,}")
        return bytes(content)

    return read
