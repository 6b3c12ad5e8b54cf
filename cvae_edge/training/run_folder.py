"""A run folder's files: the lock, the fingerprint of the data, and leftovers of a kill."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cvae_edge.datasets.fingerprint import difference, fingerprint
from cvae_edge.errors import BundleError, DataError, DataWarning, RunError
from cvae_edge.locking import locked
from cvae_edge.regular_files import read_regular
from cvae_edge.untrusted import parse_json
from cvae_edge.writing import write_text

CONFIG, DATA, CHECKPOINTS = "config.json", "data.json", "checkpoints"
MAX_TEXT = 1 << 26  # bytes of JSON or CSV
_LOCK = "run.lock"
# What a run writes before its config.json, which makes it one.
_BEGINNINGS = (
    _LOCK,
    DATA,
    CHECKPOINTS,
    "architecture.json",
    "best.weights.npz",
    "history.csv",
    "reconstructions.png",
    "summary.json",
)


def check_new(folder: Path, source: str) -> None:
    """Check that a new run on the data ``source`` can be made in ``folder``.

    It is empty or not there, or holds what was left of a run that ended before it began.

    Raises:
        RunError: it holds something else.
        DataError: its pictures would become data.
    """
    if Path(source).is_dir() and folder.resolve().is_relative_to(Path(source).resolve()):
        raise DataError(
            f"--out must not lie in the data's folder {source}, where a run's pictures would "
            f"become data, got {folder}"
        )
    if (folder / CONFIG).exists():
        raise RunError(
            f"{folder} already holds a run: continue it with --resume, or choose another --out"
        )
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    if names and not (_LOCK in names and all(_is_left_over(name) for name in names)):
        raise RunError(f"{folder} exists and is no run folder: choose another --out")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run folder, in which a run is or ``check_new`` allows one; sweep up what is left over.

    Raises:
        RunError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.callback(_remove_if_empty, folder)
        try:
            stack.enter_context(locked(folder / _LOCK))
        except BlockingIOError as error:
            raise RunError(
                f"{folder} is being written by another process: wait for it, or stop it"
            ) from error
        _sweep(folder)
        stack.callback(_sweep, folder)
        yield


def sweep_checkpoints(folder: Path, kept: Sequence[str]) -> None:
    """Delete files of checkpoints that were not written to the end."""
    stems = [Path(checkpoint).name for checkpoint in kept]
    for path in list(folder.iterdir()):
        if path.name != "checkpoint" and path.name.partition(".")[0] not in stems:
            _remove(path)


def record_data(folder: Path, source: str) -> None:
    """Write data.json: where the data is, and its fingerprint."""
    place = Path(source)
    path = str(place.absolute()) if place.exists() and source != "mnist" else None
    write_text(folder / DATA, json.dumps({"path": path, "files": fingerprint(source)}, indent=0))


def locate_data(folder: Path, source: str) -> str:
    """Return where the data of a run is that was given ``source``, also in another folder."""
    path = _read(folder).get("path")
    return path if isinstance(path, str) and Path(path).exists() else source


def check_data(folder: Path, source: str, warn: bool = False) -> bool:
    """Raise RunError, or warn, if ``source`` is not the data that the run was begun with.

    Returns:
        Whether it is known that it is; a run need not have recorded its data.
    """
    recorded = _read(folder).get("files")
    if recorded is None:
        return False
    try:
        old = {str(name): (int(size), str(digest)) for name, (size, digest) in recorded.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise RunError(f"{folder / DATA} is damaged: {error}") from error
    differing = difference(old, fingerprint(source))
    if differing and warn:
        message = f"{source} is no longer what {folder} was trained on: {differing}"
        warnings.warn(message, DataWarning, stacklevel=3)
    elif differing:
        raise RunError(
            f"--resume needs the data that {folder} was begun with, but in {source} {differing}: "
            "restore it, or name it with --data"
        )
    return not differing


def read_json(path: Path) -> dict[str, Any]:
    """Read one of a run's files that holds a JSON object.

    Raises:
        RunError: it is damaged.
    """
    try:
        content = parse_json(read_regular(path, MAX_TEXT))
    except (OSError, BundleError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: it must hold an object")
    return content


def _read(folder: Path) -> dict[str, Any]:
    path = folder / DATA
    return read_json(path) if path.exists() else {}


def _is_left_over(name: str) -> bool:
    return name in _BEGINNINGS or _is_partial(name)


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(".partial")


def _sweep(folder: Path) -> None:
    begun = (folder / CONFIG).exists()
    for path in list(folder.iterdir()):
        if _is_partial(path.name) or (not begun and path.name in _BEGINNINGS[1:]):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
