"""Ctrl-C and SIGTERM as a request that is met between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether a signal asked for an end, and which."""

    signal: int | None = None


@contextmanager
def interruption(*, at_once: bool = False) -> Iterator[Interruption]:
    """Note SIGINT and SIGTERM, so that what runs may end where it is whole.

    After the first signal both do again what they do by default, so that a second one ends the
    process at once.

    Args:
        at_once: raise KeyboardInterrupt as well. It may be lost where Python ignores errors, in a
            destructor or a callback; the note is not.
    """
    asked = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return

    def note(number: int, _: FrameType | None) -> None:
        asked.signal = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if at_once:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
