"""What the rows of inference.json come to: tables of times, and our best beside the best peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import record
from turns import ratio

_NO_LOSS = 5e-3  # nats; float32 files differ by less
ROLES = ("decoder", "encoder", "reconstruct")
Row = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """How many times as fast as the best peer our best decoder should be."""

    work: str
    batch: int
    threads: int
    precision: str | None  # of both; None for any
    times: float


GOALS = (
    Goal("one image, float32", 1, 1, "float32", 1.0),
    Goal("one image, float32", 1, 2, "float32", 1.2),
    Goal("one image, int8", 1, 1, "int8", 1.3),
    Goal("one image, int8", 1, 2, "int8", 1.3),
    Goal("256 images, any precision", 256, 1, None, 1.0),
    Goal("256 images, any precision", 256, 2, None, 1.0),
)


def compare(figures: dict[str, Any], goal: Goal) -> dict[str, Any] | None:
    """Return our best and the best peer; None where either was not measured."""

    def fastest(ours: bool) -> Row | None:
        rows = (
            row
            for row in figures["rows"]
            if (row["role"], row["ours"]) == ("decoder", ours)
            and (row["batch"], row["threads"]) == (goal.batch, goal.threads)
            and goal.precision in (None, row["precision"])
        )
        return min(rows, key=lambda row: float(row["microseconds"]), default=None)

    ours, peer = fastest(True), fastest(False)
    if ours is None or peer is None:
        return None
    return {"ours": ours, "peer": peer, **ratio(peer["rounds"], ours["rounds"])}


def best_table(figures: dict[str, Any], goals: bool = True) -> str:
    """Our best beside the best peer, for every goal; with what the goal is, or without."""

    def side(row: Row) -> str:
        loss = figures["loss_nats"].get(row["name"], 0.0)
        nats = f", {loss:.2f} nats lost" if abs(loss) > _NO_LOSS else ""
        return f"{row['name']}: {_milliseconds(row)} ms{nats}"

    rows = []
    for goal in GOALS:
        found = compare(figures, goal)
        if found:
            spread = f"{found['ratio']:.2f} ({found['lowest']:.2f} to {found['highest']:.2f})"
            names = side(found["ours"]), side(found["peer"])
            times = [f"{goal.times:.1f}"] if goals else []
            rows.append([goal.work, goal.threads, *names, spread, *times])
    columns = ["decoded", "threads", "our best", "best peer", "times as fast"]
    return record.markdown_table([*columns, *(["goal"] if goals else [])], rows)


def times_table(figures: dict[str, Any], role: str) -> str:
    """Milliseconds by peer, batch and threads."""
    rows = [row for row in figures["rows"] if row["role"] == role]
    times = {(row["name"], row["batch"], row["threads"]): row for row in rows}
    jobs = sorted({key[1:] for key in times})
    lines: list[list[str]] = []
    for name in dict.fromkeys(row["name"] for row in rows):
        found = (times.get((name, *job)) for job in jobs)
        loss = figures["loss_nats"].get(name, float("nan"))
        cells = [_milliseconds(row) if row else "" for row in found]
        lines.append(
            [
                name,
                *cells,
                *([f"{abs(loss) if abs(loss) < 5e-4 else loss:.3f}"] if role == "decoder" else []),
            ]
        )
    columns = [f"{batch} x {threads}" for batch, threads in jobs]
    nats = ["nats lost"] if role == "decoder" else []
    return record.markdown_table([role, *columns, *nats], lines)


def report(figures: dict[str, Any]) -> str:
    roles = [role for role in ROLES if any(row["role"] == role for row in figures["rows"])]
    text = (
        "Ratios of a round's times, median (range) over rounds; the quantized files' nats are what "
        "the decoder alone loses.\n\n" + best_table(figures)
    )
    text += "\nMilliseconds for a batch, medians; columns are images x threads.\n"
    for role in roles:
        text += "\n" + times_table(figures, role)
    return text + record.skipped_text(figures["skipped"])


def _milliseconds(row: Row) -> str:
    return f"{row['microseconds'] / 1e3:.3g}"
