"""The clock is read around calls alone; here it is one that the calls move."""

from __future__ import annotations

from itertools import chain, count, repeat

import numpy as np
import pytest

from cvae_edge.benchmark.stopwatch import Stopwatch, clock_resolution


class Clock:
    def __init__(self, durations):
        self.now, self.calls = 0.0, []
        self._durations = iter(durations)

    def __call__(self, **inputs):
        self.calls.append(inputs)
        self.now += next(self._durations)


@pytest.fixture
def watch_of(monkeypatch):
    def make(durations):
        clock = Clock(durations)
        monkeypatch.setattr("time.perf_counter", lambda: clock.now)
        inputs = ({"i": i} for i in count())
        return Stopwatch(clock, inputs), clock

    return make


def test_a_round_has_at_least_so_many_runs_and_so_many_seconds(watch_of):
    watch, _ = watch_of(repeat(0.5))
    assert watch.round(0.1, 7) == 0.5
    assert watch.summary()["runs"] == 7
    watch, _ = watch_of(repeat(0.25))
    watch.round(5, 1)
    assert watch.summary()["runs"] == 20


def test_the_first_runs_of_a_round_do_not_count(watch_of):
    watch, clock = watch_of(chain([9.0], repeat(1.0)))
    watch.round(3, 1)
    assert watch.summary() == {"runs": 3, "p50": 1.0, "p95": 1.0, "p99": 1.0, "mean": 1.0}
    assert [call["i"] for call in clock.calls] == [0, 1, 2, 3]  # each run another input


def test_percentiles_are_of_all_rounds(watch_of):
    times = np.random.default_rng(0).uniform(1, 2, 100)
    watch, _ = watch_of(chain([1], times[:50], [1], times[50:]))
    assert watch.round(0, 50) == pytest.approx(np.median(times[:50]))
    watch.round(0, 50)
    summary = watch.summary()
    assert summary["runs"] == 100
    for name, q in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert summary[name] == pytest.approx(np.percentile(times, q))
    assert summary["mean"] == pytest.approx(times.mean())


def test_warm_up_goes_on_until_the_median_settles(watch_of):
    watch, clock = watch_of(chain((0.05 / (1 + i // 5) for i in range(20)), repeat(0.01)))
    runs, median, settled = watch.warm_up()
    assert settled
    assert median == pytest.approx(0.01)
    assert runs == len(clock.calls) == 4 * 5 + 3 * 5  # three blocks alike


def test_warm_up_ends_though_the_median_never_settles(watch_of):
    watch, _ = watch_of(0.01 * (1 + i // 5 % 2) for i in count())
    _, _, settled = watch.warm_up()
    assert not settled


def test_the_clocks_step_is_positive_and_fine():
    assert 0 < clock_resolution() < 1e-3
