"""Locks between processes. A lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: what two processes write at once is not kept apart there
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # of file systems


def open_locked(path: Path, wait: bool = True) -> BinaryIO:
    """Open a file for reading and writing, made where it is not there, that nobody else holds.

    Args:
        path: the file; a link there is not followed.
        wait: for a process that holds it.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is False.
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        file = os.fdopen(os.open(path, flags, 0o666), "r+b")
        try:
            _lock(file, wait)
            # Whoever held it may have renamed or deleted it in between.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, which is the file ``path`` while it is held.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    if fcntl is None:
        yield
        return
    with open_locked(path, wait=False):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: BinaryIO, wait: bool) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
