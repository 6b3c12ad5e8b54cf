"""Which configuration to ship, by a stated rule, and which differences are noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvae_edge.benchmark.results import Results, Row, spread
from cvae_edge.elbo import BUDGET_RULE

RULE = (
    f"Best is the fastest an image of those that lose at most {BUDGET_RULE}. Where several are as "
    "fast within the noise, it is the one of them that loses least, to 0.01 nats; then the "
    "smallest; then the one with the fewest threads."
)


@dataclass(frozen=True)
class Choice:
    """The best row of a batch, and those that are as fast within the noise."""

    best: Row
    equals: tuple[Row, ...]  # without the best, fastest first
    noise: float  # largest difference, as a share, that means nothing between these


def is_acceptable(row: Row) -> bool:
    """Whether a row may be recommended: its loss is known and within the budget.

    As for ``precision="auto"``, float32 whose loss nobody measured is taken to lose nothing.
    """
    if row.loss is None:
        return row.configuration.precision == "float32"
    return row.loss <= row.budget


def choose(results: Results, batch: int) -> Choice | None:
    """Choose by ``RULE`` among a batch's finished rows; None where there is nothing to choose."""
    good = [row for row in results.of(batch) if is_acceptable(row)]
    if not good:
        return None
    fastest = min(good, key=_time)
    equals = [row for row in good if is_as_fast(results, row, fastest)]
    best = min(equals, key=_merit)
    others = sorted((row for row in equals if row is not best), key=_time)
    noise = max(noise_of(results, row, fastest) for row in equals)
    return Choice(best, tuple(others), noise)


def ratio(row: Row, other: Row) -> float | None:
    """Return a row's time over another's of the same batch, by rounds; None if none was shared."""
    ratios = _ratios(row, other)
    return float(np.median(ratios)) if ratios else None


def noise_of(results: Results, row: Row, other: Row) -> float:
    """Return how far from 1 two rows' ratio must lie to mean something.

    That is the largest of what the same configuration shows against itself, what the ratio
    scatters between rounds, and a step of the clock. Where nobody could measure it, no ratio does.
    """
    noise = results.noise.get(row.configuration.batch)
    ratios = _ratios(row, other)
    if noise is None or not ratios:
        return float("inf")
    step = results.clock_seconds * 1e3 / min(row.p50_ms, other.p50_ms)
    return max(noise.noise, spread(ratios), step)


def is_as_fast(results: Results, row: Row, other: Row) -> bool:
    """Whether two rows of a batch cannot be told apart by their time."""
    times = ratio(row, other)
    if row is other or times is None:
        return True
    return max(times, 1 / times) - 1 <= noise_of(results, row, other)


def ranked(results: Results, batch: int) -> list[Row]:
    """Return a batch's rows: the best, then those that could be, then the rest; each by time."""
    choice = choose(results, batch)
    best = choice.best if choice else None
    rows = results.of(batch, "measured", "stopped")
    return sorted(rows, key=lambda row: (row is not best, not is_acceptable(row), row.image_ms))


def _ratios(row: Row, other: Row) -> list[float]:
    return [a / b for a, b in zip(row.relative, other.relative, strict=False)]


def _time(row: Row) -> float:
    return float(np.median(row.relative)) if row.relative else float("inf")


def _merit(row: Row) -> tuple[float, int, int, float]:
    loss = max(0.0, round(row.loss or 0.0, 2))  # a gain is the sample's, not the file's
    return loss, row.size_bytes, row.configuration.threads, _time(row)
