"""Reads the clock around calls: warm-up, rounds, percentiles."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

_BLOCK_RUNS, _BLOCK_SECONDS = 5, 0.02  # the least that a block of the warm-up holds
_SETTLED = 0.03  # how much the medians of two blocks may differ, twice in turn
_WARM_UP_SECONDS = 2.0  # after which a median that has not settled is taken as it is
_REFRESH = 0.05  # of a round, not counted: others ran since the last, and took the caches


class Stopwatch:
    """Times ``call(**inputs)``, which must end when its work has ended."""

    def __init__(self, call: Callable[..., object], inputs: Iterator[Mapping[str, Any]]) -> None:
        self._call, self._inputs = call, inputs
        self._seconds = array("d")  # of every run that counts

    def warm_up(self) -> tuple[int, float, bool]:
        """Run until the median settles; return runs, the median's seconds and whether it did."""
        medians: list[float] = []
        runs, total = 0, 0.0
        while True:
            block = self._run(_BLOCK_SECONDS, _BLOCK_RUNS)
            runs, total = runs + len(block), total + sum(block)
            medians.append(float(np.median(block)))
            settled = len(medians) > 2 and all(
                abs(b / a - 1) < _SETTLED for a, b in zip(medians[-3:], medians[-2:], strict=False)
            )
            if settled or (total > _WARM_UP_SECONDS and len(medians) > 2):
                return runs, medians[-1], settled

    def round(self, seconds: float, runs: int) -> float:
        """Run for at least so long and so often; return the round's median in seconds."""
        self._run(seconds * _REFRESH, 1)
        times = self._run(seconds, runs)
        self._seconds.extend(times)
        return float(np.median(times))

    def summary(self) -> dict[str, float]:
        """Return runs, p50, p95, p99 and mean in seconds over all rounds."""
        p50, p95, p99 = np.percentile(self._seconds, (50, 95, 99))
        return {
            "runs": len(self._seconds),
            "p50": float(p50),
            "p95": float(p95),
            "p99": float(p99),
            "mean": float(np.mean(self._seconds)),
        }

    def _run(self, seconds: float, runs: int) -> array[float]:
        call, inputs, clock = self._call, self._inputs, time.perf_counter
        times = array("d")
        total = 0.0
        while total < seconds or len(times) < runs:
            values = next(inputs)
            started = clock()
            call(**values)
            took = clock() - started
            times.append(took)
            total += took
        return times


def clock_resolution() -> float:
    """Return the smallest step in seconds that the clock was seen to make."""
    steps = []
    for _ in range(1000):
        started = ended = time.perf_counter()
        while ended == started:
            ended = time.perf_counter()
        steps.append(ended - started)
    return min(steps)
