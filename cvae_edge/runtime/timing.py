"""How long files take for a run on this machine, in their own engines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from cvae_edge.manifest import Artifact
from cvae_edge.runtime.engines import open_session

Call = Callable[[], object]


def make_call(
    artifact: Artifact,
    content: bytes,
    batch: int = 1,
    threads: int | None = 1,
    provider: str = "cpu",
) -> Call:
    """Open a file, and return what runs it once on ``batch`` grey images, or latents as large."""
    graph = open_session(artifact, content, threads, provider)
    shapes = {t.name: (batch, *(size or 1 for size in t.shape[1:])) for t in artifact.inputs}
    inputs = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    return lambda: graph(**inputs)


def time_in_turns(
    calls: Mapping[str, Call],
    turns: int = 15,
    runs: int = 4,
    *,
    rest: float = 0.0,
    seconds: float = float("inf"),
) -> dict[str, list[float]]:
    """Return the microseconds of each call's runs.

    The calls take turns, so that a machine that slows down does so for all of them. The first run
    of a turn is not counted: others ran since the last, and took the caches.

    Args:
        calls: by name.
        turns: of each call.
        runs: that are counted in a turn.
        rest: seconds before a turn, in which the last call's idle threads fall asleep.
        seconds: after which no further turns begin; each call has one in any case.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for turn in range(turns):
        if turn and time.perf_counter() > end:
            break
        for name, call in calls.items():
            time.sleep(rest)
            call()
            for _ in range(runs):
                started = time.perf_counter()
                call()
                times[name].append(1e6 * (time.perf_counter() - started))
    return times


def median_microseconds(calls: Mapping[str, Call], turns: int = 15) -> dict[str, float]:
    """Return each call's median over ``turns``; see ``time_in_turns``."""
    return {name: float(np.median(times)) for name, times in time_in_turns(calls, turns).items()}
