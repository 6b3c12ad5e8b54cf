"""Files that commands write: whole, or as they were before."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cvae_edge.locking import CAN_LOCK, open_locked


@contextmanager
def new_file(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Give a file that becomes ``path`` when the block ends without an error.

    What was there before stays until then. A link is written through. What is no regular file, a
    device or a pipe, is written as it is. The next writer of ``path`` takes up what a killed one
    left.

    Args:
        path: its folder is made where it is not there.
        durable: have it on the disk before it takes the old file's place.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with open_locked(partial) as file:
        try:
            file.truncate()
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if not CAN_LOCK:
                file.close()  # Windows renames no open file
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes.

    Raises:
        OSError: they cannot be written.
    """
    with new_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8; half of a surrogate pair, as in names that are no UTF-8, is escaped.

    Raises:
        OSError: it cannot be written.
    """
    write_bytes(path, to_bytes(text))


def write_standard(content: bytes | memoryview) -> None:
    """Write all of ``content`` to standard output.

    Raises:
        OSError: it is closed, or takes no more.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed", "standard output")
    sys.stdout.flush()
    stream, rest = sys.stdout.buffer, memoryview(content)
    while len(rest):
        # Without a buffer, as under python -u, a write may take a part.
        written = stream.write(rest)
        if not written:
            raise OSError(errno.EAGAIN, "it takes no more", "standard output")
        rest = rest[written:]
    stream.flush()


def to_bytes(text: str) -> bytes:
    """Return text as UTF-8; see ``write_text``."""
    return text.encode("utf-8", "backslashreplace")
