"""Frameworks write to file descriptor 2 as they start; users need none of it. Stdlib only."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to standard error; show it after all if an exception passes.

    Where standard error is closed, or there is no room to hold anything, it does nothing.
    """
    with contextlib.ExitStack() as stack:
        try:
            own = os.dup(2)  # first: in a closed descriptor's place the next file would be opened
            stack.callback(os.close, own)
            held_back = stack.enter_context(_room())
        except OSError:
            yield
            return
        _flush()
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            _flush()
            os.dup2(own, 2)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        finally:
            _flush()
            os.dup2(own, 2)


def _room() -> IO[bytes]:
    """Return a file that nobody else sees: in memory, where no disk needs to be writable."""
    if hasattr(os, "memfd_create"):  # Linux
        return open(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


def _flush() -> None:
    if sys.stderr is not None:  # None where the descriptor was closed from the start
        with contextlib.suppress(OSError, ValueError):  # closed since
            sys.stderr.flush()
