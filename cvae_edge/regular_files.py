"""Regular files of a bounded size: what anyone may have put in a file's place. Stdlib only."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO


def open_regular(path: Path | str, most: int | None = None) -> IO[bytes]:
    """Open a regular file for reading.

    A pipe or a device would keep its reader waiting, or never end.

    Args:
        path: of the file, or of a link to it.
        most: bytes that it may have.

    Raises:
        OSError: it is not there, no regular file, or larger.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 # the caller closes it
    status = os.fstat(file.fileno())
    rule = None if stat.S_ISREG(status.st_mode) else "it must be a regular file"
    if most is not None and status.st_size > most:
        rule = f"it must have at most {most:,} bytes, got {status.st_size:,}"
    if rule:
        file.close()
        raise OSError(errno.EINVAL, rule, str(path))
    return file


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file; see ``open_regular``."""
    with open_regular(path, most) as file:
        return file.read(most)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer
