"""Configurations of one batch, measured in turn: round by round, each in its own process."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cvae_edge.benchmark.advice import is_acceptable
from cvae_edge.benchmark.plan import Configuration
from cvae_edge.benchmark.results import Noise, Row, spread
from cvae_edge.benchmark.worker_process import WorkerProcess
from cvae_edge.errors import BenchmarkError

MIN_ROUNDS, MAX_ROUNDS = 10, 40  # the more, the closer in time are the runs that are compared
MIN_RUNS = 50
_ROUND_RUNS = 5  # fewer runs a round would leave most of the time to those that do not count

Advance = Callable[[float, str], None]  # expected seconds that are done, what is done now


@dataclass(eq=False)
class _Turn:
    """A process, and the row that its figures are for; the reference's doubles have none."""

    process: WorkerProcess
    row: Row | None
    warm: float  # median in seconds at the end of the warm-up
    rounds: list[float] = field(default_factory=list)  # medians in seconds


def take_turns(
    source: str,
    rows: Sequence[Row],
    min_seconds: float,
    known: Noise | None,
    start_seconds: float,
    advance: Advance,
) -> Noise | None:
    """Measure rows of one batch and fill them in.

    All are opened and warmed up; then each runs once a round, in a new order every time. The
    reference, to which they are compared within each round, is the row that was fastest after the
    warm-up among those that ``choose`` may take. A second process of the same configuration
    takes part, and shows what differences mean nothing here.

    Args:
        source: the bundle, for the processes to open.
        rows: of one batch.
        min_seconds: that each is measured for, in all.
        known: the noise of the batch's first group; its reference is then this group's.
        start_seconds: what a process is expected to take until its first round.
        advance: called after each step.

    Returns:
        The noise; None where nothing could be run.
    """
    with ExitStack() as stack:
        turns = []
        for row in rows:
            advance(start_seconds, row.name)
            turns += _start(source, row.configuration, row, stack)
        if not turns:
            return None
        advance(start_seconds, "the reference")
        if known is None:
            good = [turn for turn in turns if turn.row is not None and is_acceptable(turn.row)]
            reference = min(good or turns, key=lambda turn: turn.warm)
            doubles = _start(source, reference.process.configuration, None, stack)
        else:
            doubles = _start(source, known.configuration, None, stack)
            reference = doubles[0] if doubles else turns[0]
        _run_rounds([*turns, *doubles], reference, min_seconds, advance)
        if known is not None or not doubles:
            return known
        return _noise(reference, doubles[0])


def _start(
    source: str, configuration: Configuration, row: Row | None, stack: ExitStack
) -> list[_Turn]:
    """Open and warm up a configuration; return nothing, and say why in its row, if it fails."""
    process = stack.enter_context(WorkerProcess(source, configuration))
    try:
        opened, warm = process.open(), process.warm_up()
    except BenchmarkError as error:
        _fail(row, error)
        return []
    if row is not None:
        row.load_ms, row.first_ms = 1e3 * opened["load"], 1e3 * opened["first"]
        row.runs_on = opened["runs_on"]
        row.warm_up_runs, row.settled = warm["warm_up_runs"], warm["settled"]
    return [_Turn(process, row, warm["median"])]


def _run_rounds(
    turns: Sequence[_Turn], reference: _Turn, min_seconds: float, advance: Advance
) -> None:
    order = list(turns)
    slowest = max(turn.warm for turn in turns)
    rounds = min(MAX_ROUNDS, max(MIN_ROUNDS, int(min_seconds / (_ROUND_RUNS * slowest))))
    shuffle = random.Random(0).shuffle  # so that nobody always follows the same neighbour
    for number in range(rounds):
        shuffle(order)
        medians: dict[_Turn, float] = {}
        for turn in list(order):
            name = turn.row.name if turn.row is not None else "the reference"
            try:
                summary = turn.process.round(min_seconds / rounds, math.ceil(MIN_RUNS / rounds))
            except BenchmarkError as error:
                _fail(turn.row, error)
                order.remove(turn)
            else:
                medians[turn] = summary["median"]
                turn.rounds.append(summary["median"])
                _record(turn.row, summary)
            advance(min_seconds / rounds, f"{name}, round {number + 1} of {rounds}")
        for turn, median in medians.items():
            if turn.row is not None and reference in medians:
                turn.row.relative.append(median / medians[reference])
    for turn in order:
        if turn.row is not None:
            turn.row.status = "measured"


def _record(row: Row | None, summary: dict[str, Any]) -> None:
    """Write a process's figures, which are of all its rounds so far, into its row."""
    if row is None:
        return
    row.rounds_ms.append(1e3 * summary["median"])
    row.runs = summary["runs"]
    row.p50_ms, row.p95_ms, row.p99_ms = (1e3 * summary[p] for p in ("p50", "p95", "p99"))
    row.images_per_second = row.configuration.batch / summary["mean"]
    row.memory_bytes = summary["memory"]
    if "on_device" in summary:
        row.on_device_ms = 1e3 * summary["on_device"]


def _fail(row: Row | None, error: BenchmarkError) -> None:
    if row is not None:
        row.status, row.message = "failed", str(error)
        row.rounds_ms, row.relative = [], []


def _noise(reference: _Turn, double: _Turn) -> Noise | None:
    ratios = [b / a for a, b in zip(reference.rounds, double.rounds, strict=False)]
    if not ratios:
        return None
    ratio = float(np.median(ratios))
    return Noise(reference.process.configuration, ratio, abs(ratio - 1) + spread(ratios))
