"""Folders that commands write: whole, or as they were before; and folders for a moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cvae_edge.locking import locked

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' renameat2
_SCRATCH = ".cvae-edge-"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder that takes the place of ``folder`` when the block ends without an error.

    It does so in one step where the system can let two folders change names. Elsewhere the old one
    is renamed first, and a kill just then is mended by ``restore`` or by the next writer. A link to
    a folder stays a link. What a killed writer left is swept up.

    Raises:
        BlockingIOError: another process writes ``folder``.
        OSError: it cannot be written.
    """
    import shutil  # here, because a device that only reads would wait for it at each start

    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(folder, "partial")
    with locked(_beside(folder, "lock")):
        _restore(folder)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            if not folder.exists():
                partial.rename(folder)
            elif not _exchange(partial, folder):
                folder.rename(_beside(folder, "old"))
                partial.rename(folder)
                _restore(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # the old folder, or what an error left


def restore(folder: Path) -> None:
    """Bring back a folder that a killed writer had just renamed, where that can be done."""
    folder = Path(os.path.realpath(folder))
    if _beside(folder, "old").exists():
        with suppress(OSError), locked(_beside(folder, "lock")):
            _restore(folder)


@contextmanager
def temporary_files() -> Iterator[Path]:
    """Have temporary files in a folder that is gone after the block, those of libraries included.

    TensorFlow and its converters leave theirs when they are killed. What killed processes left goes
    as well. Threads other than the main one keep the common folder.
    """
    import shutil
    import tempfile

    place = Path(tempfile.gettempdir())
    if threading.current_thread() is not threading.main_thread():
        yield place
        return
    for lock in place.glob(f"{_SCRATCH}*.lock"):
        with suppress(OSError), locked(lock):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    folder = place / f"{_SCRATCH}{os.getpid()}-{os.urandom(8).hex()}"
    with locked(folder.with_name(f"{folder.name}.lock")):
        folder.mkdir(mode=0o700)
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before
            shutil.rmtree(folder, ignore_errors=True)


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{word}")


def _restore(folder: Path) -> None:
    import shutil

    old = _beside(folder, "old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        old.rename(folder)


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders change names in one step; return whether the system could."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # another system, or an older C library
        return False
    names = os.fsencode(first), os.fsencode(second)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)
