"""The folders that kits are written to, and where their sources lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvae_edge.errors import BundleError
from cvae_edge.folders import new_folder
from cvae_edge.version import __version__
from cvae_edge.writing import write_text

MARK = "kit.json"  # in every kit's folder: what made it


@contextmanager
def new_kit(folder: Path, kind: str) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` when the block ends without an error.

    A kit of the same kind that is there already stays whole until then, and is replaced.

    Raises:
        BundleError: ``folder`` exists and is no such kit, or another process writes it.
    """
    _check_output(folder, kind)
    try:
        with new_folder(folder) as temporary:
            yield temporary
            write_text(temporary / MARK, json.dumps({"kit": kind, "cvae_edge": __version__}) + "\n")
            _check_output(folder, kind)
    except BlockingIOError as error:
        raise BundleError(f"{folder} is being written by another process: wait for it") from error


def sources(kind: str) -> Path:
    """Return the folder of a kit's sources, or of C's, in an installed package or in a clone."""
    package = Path(__file__).parents[1]
    installed = package / "kits" / "sources" / kind
    return installed if installed.is_dir() else package.parent / "export" / kind


def read_sources(kind: str) -> dict[str, bytes]:
    """Return the files of a folder of sources that has no folders in it, by name."""
    files = sorted(f for f in sources(kind).iterdir() if f.is_file())
    return {file.name: file.read_bytes() for file in files}


def _check_output(folder: Path, kind: str) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        made = json.loads((folder / MARK).read_text())
    except (OSError, ValueError):
        made = None
    if not isinstance(made, dict) or made.get("kit") != kind:
        raise BundleError(f"{folder} exists and is no {kind} kit: choose another --out")
