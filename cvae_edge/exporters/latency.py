"""How long a file takes for one image on this machine, one thread."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from cvae_edge.exporters.targets.target import Call, Target

_WARM_UP = 10


def median_latencies(calls: Mapping[str, Call], rounds: int = 60) -> dict[str, float]:
    """Return each call's median time in microseconds.

    The calls take turns, so that a machine that slows down does so for all of them.
    """
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return {name: 1e6 * float(np.median(t)) for name, t in times.items()}


def fastest(target: Target, contents: Mapping[str, bytes]) -> str:
    """Return the name of the file that is fastest here; the first if nobody can time them."""
    if target.make_call is None:
        return next(iter(contents))
    times = median_latencies({n: target.make_call(c, 1, 1) for n, c in contents.items()})
    return min(times, key=lambda name: times[name])
