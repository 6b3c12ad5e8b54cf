"""What outputs are called after their inputs, and that none takes an input's place. Stdlib only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from cvae_edge.errors import DataError


def output_names(inputs: Sequence[str]) -> list[str]:
    """Return a different name for each input: its own without its ending, where only one has it.

    Args:
        inputs: paths within a folder, or names of files.
    """
    stems = [str(PurePath(name).with_suffix("")) for name in inputs]
    shared = Counter(stem.casefold() for stem in stems)
    taken: set[str] = set()
    names = []
    for stem, full in zip(stems, inputs, strict=True):
        name = first = stem if shared[stem.casefold()] == 1 else full
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{first}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def require_apart(outputs: Iterable[Path], inputs: Iterable[str]) -> None:
    """Raise DataError if a file to be written is one that was read."""
    there = {key: path for path in outputs if (key := _key(path)) is not None}
    for name in inputs if there else ():
        path = there.get(_key(Path(name)))  # type: ignore[arg-type] # None is no key
        if path is not None:
            raise DataError(f"--out must not overwrite what is read, got {path}: name another")


def _key(path: Path) -> tuple[int, int] | None:
    """Return an identity of a file that all of its names share; None if it does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
