"""onnxruntime-web's files, from its npm package: the pinned ones, or none."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cvae_edge.errors import ConfigError
from cvae_edge.kits.folder import sources
from cvae_edge.regular_files import open_regular, read_regular

NAME = "onnxruntime-web"
_MAX_BYTES = 1 << 27  # of a file: the largest has 27 MB


class Pinned(NamedTuple):
    """The version that a page runs, and its files: by name, where they come from, and SHA-256.

    Modules are served as .js: not every server knows .mjs.
    """

    version: str
    files: dict[str, dict[str, str]]

    @property
    def command(self) -> str:
        """What fetches the package."""
        return f"npm pack {NAME}@{self.version}"


def pinned() -> Pinned:
    """Return what the page's own table says."""
    table = json.loads((sources("web") / "cvae-edge" / f"{NAME}.json").read_text())
    return Pinned(table["version"], table["files"])


def read_onnxruntime_web(source: Path) -> dict[str, bytes]:
    """Return the pinned files' bytes, by name.

    Args:
        source: what ``npm pack`` gave (.tgz), the unpacked package, or a node_modules folder.

    Raises:
        ConfigError: it is none of these, or holds another version or changed files.
    """
    version, files = pin = pinned()
    rule = f"--{NAME} must be the .tgz of {pin.command}, its folder or a node_modules folder"
    read = _reader(source)
    found = {}
    for name, file in files.items():
        place = file["from"]
        try:
            found[name] = read(place)
        except (OSError, KeyError, tarfile.TarError, EOFError) as error:
            raise ConfigError(f"{rule}, got {source}, which has no readable {place}") from error
        if hashlib.sha256(found[name]).hexdigest() != file["sha256"]:
            raise ConfigError(f"{rule}, got {source}, whose {place} is not that of {version}")
    return found


def _reader(source: Path) -> Callable[[str], bytes]:
    """Return a function from places in the package to their bytes."""
    if not source.is_dir():
        return lambda place: _read_member(source, f"package/{place}")
    places = (source, source / "package", source / NAME, source / "node_modules" / NAME)
    folder = next((place for place in places if (place / "dist").is_dir()), source)
    return lambda place: read_regular(folder / place, _MAX_BYTES)


def _read_member(archive: Path, name: str) -> bytes:
    with open_regular(archive) as file, tarfile.open(fileobj=file, mode="r:*") as package:
        member = package.getmember(name)
        content = package.extractfile(member) if member.size <= _MAX_BYTES else None
        if content is None:
            raise KeyError(name)
        return content.read()
