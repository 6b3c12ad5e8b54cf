"""What a forked process must let go: its parent's threads are not in it. Stdlib only."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class Forks(Protocol):
    """Something with threads or locks of its own."""

    def after_fork(self) -> None:
        """Let go of them, in the child."""


_ALIVE: weakref.WeakSet[Any] = weakref.WeakSet()


def watch(one: Forks) -> None:
    """Call ``one.after_fork()`` in every process that is forked from this one."""
    _ALIVE.add(one)


def keep_for_ever(one: Any) -> None:
    """Never destroy an object, not even when the process ends.

    onnxruntime's session waits for its threads when it is destroyed, and in a forked process they
    never come: its exit would hang.
    """
    import ctypes  # 10 ms that only a forked process waits for

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _after_fork() -> None:
    for one in list(_ALIVE):
        one.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
