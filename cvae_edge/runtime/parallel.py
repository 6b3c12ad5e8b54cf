"""Large batches, cut into chunks and spread over threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from cvae_edge import container
from cvae_edge.runtime.forking import watch

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# Large enough that a chunk's Python and the loading of its weights into the cache are a few percent
# of its arithmetic, small enough that a thread's activations stay at 15 MB.
CHUNK = 32
_SMALL = 4  # batches below this take less time than waking a thread is worth


def available_cores() -> int:
    """Return how many cores this process may use: its own, within a container's CPU quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    # More threads than the quota gives would be stopped for the rest of each tenth of a second.
    return min(cores, container.core_limit() or cores)


class Workers:
    """Threads that are started when the first large batch comes, and shared by all callers."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.worthwhile = _SMALL if threads > 1 else CHUNK + 1  # the smallest batch to cut up
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        watch(self)

    def after_fork(self) -> None:
        """Start threads anew, in a forked process; see ``forking``."""
        self._lock, self._pool = threading.Lock(), None

    def for_each_chunk(
        self, n: int, work: Callable[[int, int], None], largest: int = CHUNK
    ) -> None:
        """Call ``work(low, high)`` for chunks that cover 0 to n, in any order, from any thread.

        The caller's own thread works too; the others take their share as they wake.
        """
        chunks = self.threads * -(-n // (self.threads * largest))  # every thread as many
        size = -(-n // chunks)
        lows = iter(range(0, n, size))

        def take_turns() -> None:
            try:
                for low in lows:
                    work(low, min(low + size, n))
            finally:
                deque(lows, maxlen=0)  # after an error or Ctrl-C nobody needs the rest

        helpers = min(self.threads, -(-n // size)) - 1
        others = [self._executor().submit(take_turns) for _ in range(helpers)]
        try:
            take_turns()
        finally:
            for other in others:
                if not other.cancel():  # it had begun
                    other.result()

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # 10 ms that one image spares

                self._pool = ThreadPoolExecutor(self.threads - 1, "cvae-edge")
            return self._pool
