"""The bundle: a folder of exported files under a manifest.

A bundle is what crosses from the training side to devices. Its manifest names every file with its
SHA-256; nothing else in the folder is ever opened. JSON and npz only: no file in a bundle can run
code when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cvae_edge.errors import BundleError
from cvae_edge.folders import new_folder, restore
from cvae_edge.guard import check_graph
from cvae_edge.manifest import MANIFEST, Artifact, Manifest
from cvae_edge.manifest_json import parse_manifest
from cvae_edge.regular_files import read_regular
from cvae_edge.writing import write_text

# Returns a file's bytes by its name; BundleError where there are more than the number beside it.
Read = Callable[[str, int], bytes]

MAX_BYTES = 1 << 28  # of a file, and of all in a zip: a bundle has a few MB
_MAX_MANIFEST = 1 << 22


class Bundle:
    """A manifest whose every entry has been checked, and a way to its files."""

    def __init__(self, manifest: Manifest, source: str, read: Read, trust: bool = False) -> None:
        self.manifest = manifest
        self.trust = trust
        self.source = source  # what to call it in messages
        self._read = read

    @classmethod
    def open(cls, folder: Path, trust: bool = False) -> Bundle:
        """Read the manifest of the bundle in ``folder``; ``trust`` as in ``from_reader``.

        Raises:
            BundleError: there is none, or it is damaged, unsafe or of an unknown version.
        """
        restore(folder)
        if not (folder / MANIFEST).is_file():
            raise BundleError(
                f"{folder} is no bundle: it has no {MANIFEST}; cvae-edge export makes one"
            )

        def read(name: str, most: int) -> bytes:
            try:  # a link may lead anywhere: the hash says whether it leads to the right file
                return read_regular(folder / name, most)
            except OSError as error:
                raise BundleError(f"{folder}: {name} cannot be read: {error.strerror}") from error

        return cls.from_reader(read, str(folder), trust)

    @classmethod
    def from_reader(cls, read: Read, source: str, trust: bool = False) -> Bundle:
        """Build a bundle from ``read``; see ``guard.check_graph`` for ``trust``."""
        return cls(parse_manifest(read(MANIFEST, _MAX_MANIFEST), source), source, read, trust)

    def read(self, entry: Artifact | str) -> bytes:
        """Return the bytes of an artifact, or of a further file, once its SHA-256 is right.

        Raises:
            BundleError: the file is missing, is not the one the manifest describes, or is one that
                may do harm.
        """
        if isinstance(entry, Artifact):
            name, sha256, size = entry.file, entry.sha256, min(entry.size_bytes, MAX_BYTES)
        else:
            name = entry
            if name not in self.manifest.files:
                raise BundleError(f"{self.source}: the manifest names no {name}")
            sha256, size = self.manifest.files[name], MAX_BYTES
        content = self._read(name, size)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BundleError(
                f"{self.source}: {name} was changed or damaged, "
                "its SHA-256 is not the manifest's: copy or export the bundle again"
            )
        if isinstance(entry, Artifact):
            check_graph(name, entry.format, content, self.manifest.model, self.trust)
        return content

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and bytes of every file, checked as by ``read``; the manifest is last."""
        for artifact in self.manifest.artifacts:
            yield artifact.file, self.read(artifact)
        for name in self.manifest.files:
            yield name, self.read(name)
        yield MANIFEST, self._read(MANIFEST, _MAX_MANIFEST)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` when the block ends without an error.

    A bundle that is there already stays whole until then, and is replaced, see ``new_folder``; an
    error or a kill leaves it as it is.

    Raises:
        BundleError: ``folder`` exists and is no bundle, or another process writes it.
    """
    check_bundle_folder(folder)
    try:
        with new_folder(folder) as temporary:
            yield temporary
            check_bundle_folder(folder)
    except BlockingIOError as error:
        raise BundleError(f"{folder} is being written by another process: wait for it") from error


def check_bundle_folder(folder: Path) -> None:
    """Raise BundleError if ``folder`` holds something other than a bundle."""
    if (
        folder.exists()
        and not (folder / MANIFEST).is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise BundleError(f"{folder} exists and is no bundle: choose another --out")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into ``folder``, last of all its files."""
    text = json.dumps(manifest.to_dict(), indent=1, allow_nan=False) + "\n"
    write_text(folder / MANIFEST, text)
