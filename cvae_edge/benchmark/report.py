"""A benchmark's results as JSON values and as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from cvae_edge.benchmark.advice import RULE, choose, is_as_fast, ranked, ratio
from cvae_edge.benchmark.plan import Configuration
from cvae_edge.benchmark.results import Noise, Results, Row
from cvae_edge.benchmark.sentence import figure, sentences
from cvae_edge.benchmark.turns import MAX_ROUNDS, MIN_ROUNDS, MIN_RUNS
from cvae_edge.markdown import markdown_table

METHOD = (
    "Each configuration lives in a fresh process of its own, opened and run as the runtime does it "
    "for a user.",
    "Warm-up goes on until the median of a block of runs stays within 3% twice, at most for 2 "
    "seconds; then come {rounds} rounds with at least {runs} runs and {seconds:g} seconds in all.",
    "All configurations of a batch take turns, in a new order each round, while the others sleep: "
    "a machine that slows down does so for all. Where they are too many to live at once, they do "
    "so in groups, each beside one and the same reference. Ratios are taken within a round; the "
    "ratio shown is their median.",
    "Each call gets the next of several inputs. It has ended, its results in the host's memory, "
    "before the clock is read; on a GPU that counts the copies, and `on device` is the same "
    "without them, by I/O binding.",
    "Load is the time to read, hash and open the files with the runtime already imported, first "
    "that of the first run; neither is part of a latency. Memory is what the runtime, the files "
    "and running them added to the process.",
    "One configuration is measured by two processes at once. What their ratio differs from 1 and "
    "scatters is the noise: a smaller difference between two rows is not reported, and neither is "
    "one below a row's own scatter between rounds or below a step of the clock.",
    "Sizes, ELBO and its loss are the manifest's: nats per image, against the trained model.",
)
COLUMNS_HELP = (
    "p50 to p99, load and first run are milliseconds, of a whole call; ratio is the time over the "
    "best's; MB is memory added, kB the files; nats is the ELBO lost."
)
ON_DEVICE = "on device"
WHAT = {
    "encoder": "images to mean and logvar",
    "decoder": "latents to images",
    "reconstruct": "images and noise to images, by a fused file where the bundle has one, else by "
    "encoder and decoder",
    "generate": "seeds to images: `EdgeCVAE.generate`, its noise included",
}


def to_json(results: Results) -> dict[str, Any]:
    """Return everything that was measured, and what follows from it, as JSON values."""
    request = results.request
    return {
        "bundle": results.source,
        "model": results.manifest.name,
        "request": dataclasses.asdict(request),
        "interrupted": bool(results.interrupted),
        "advice": sentences(results),
        "rule": RULE,
        "machine": results.machine,
        "method": method(results),
        "clock_seconds": results.clock_seconds,
        "noise": {str(batch): _noise(n) for batch, n in results.noise.items()},
        "rows": [
            _row(results, row) for batch in request.batches for row in _all_rows(results, batch)
        ],
        "skipped": results.skipped,
    }


def method(results: Results) -> list[str]:
    """Say how it was measured."""
    facts = {
        "rounds": f"{MIN_ROUNDS} to {MAX_ROUNDS}",
        "runs": MIN_RUNS,
        "seconds": results.request.min_seconds,
    }
    return [sentence.format(**facts) for sentence in METHOD]


def compared(results: Results, row: Row) -> str:
    """Return a row's time over the best's of its batch; "same" where that is below the noise."""
    choice = choose(results, row.configuration.batch)
    if choice is None or row is choice.best:
        return ""
    times = ratio(row, choice.best)
    equal = any(row is other for other in choice.equals)
    if times is None or equal or is_as_fast(results, row, choice.best):
        return "same"
    return f"{times:.2f}x"


def is_best(results: Results, row: Row) -> bool:
    """Whether a row is its batch's best."""
    choice = choose(results, row.configuration.batch)
    return choice is not None and row is choice.best


def _all_rows(results: Results, batch: int) -> list[Row]:
    return [*ranked(results, batch), *results.of(batch, "failed")]


def _noise(noise: Noise) -> dict[str, Any]:
    fields = dataclasses.asdict(noise)
    return {**fields, "configuration": _configuration(noise.configuration)}


def _configuration(configuration: Configuration) -> dict[str, Any]:
    return {**dataclasses.asdict(configuration), "engine": configuration.engine.name}


def _row(results: Results, row: Row) -> dict[str, Any]:
    fields = {**dataclasses.asdict(row), "configuration": _configuration(row.configuration)}
    best = {"best": is_best(results, row), "against_best": compared(results, row)}
    return {**fields.pop("configuration"), **best, "image_ms": row.image_ms, **fields}


COLUMNS = (
    "file", "batch", "threads", "p50 ms", "p95", "p99", "ratio", "img/s", "load", "first",
    "MB", "kB", "ELBO", "nats",
)  # fmt: skip


def table_rows(results: Results, batches: Sequence[int] | None = None) -> list[dict[str, str]]:
    """Return a row's cells by column: each batch's best first and marked, * where rounds lack."""
    rows = [row for batch in batches or results.request.batches for row in ranked(results, batch)]
    on_device = any(row.on_device_ms is not None for row in results.rows)
    return [_cells(results, row, on_device) for row in rows]


def to_markdown(results: Results, plots: Sequence[str] = ()) -> str:
    """Write the report for people.

    Args:
        results: what was measured.
        plots: file names of pictures that lie beside it.
    """
    request = results.request
    parts = [
        f"# {results.manifest.name}: {request.role} on {results.machine['processor']}",
        *sentences(results),
        RULE,
        f"What is run: {WHAT[request.role]}. {COLUMNS_HELP}",
    ]
    if results.interrupted:
        parts.append("The benchmark was interrupted: rows marked * lack rounds, others are absent.")
    parts += [_section(results, b) for b in request.batches if table_rows(results, [b])]
    parts += [f"![{name}]({name})" for name in plots]
    missing = _not_measured(results)
    parts += [_list("Not measured", missing)] if missing else []
    parts += [_list("How it was measured", method(results)), _list("Machine", _machine(results))]
    return "\n\n".join(parts) + "\n"


def _section(results: Results, batch: int) -> str:
    rows = table_rows(results, [batch])
    columns = [column for column in rows[0] if column != "batch"]
    noise = results.noise.get(batch)
    measured = f"{100 * noise.noise:.1f}%" if noise else "not known, so no difference is reported"
    cells = [[row[column] for column in columns] for row in rows]
    table = markdown_table(columns, cells, numbers=True)
    return f"## Batch {batch}\n\nThe noise is {measured}.\n\n{table.rstrip()}"


def _cells(results: Results, row: Row, on_device: bool) -> dict[str, str]:
    c = row.configuration
    best = is_best(results, row)
    name = c.name if c.provider == "cpu" else f"{c.name} on {c.provider}"
    values = (
        ("> " if best else "") + name + ("*" if row.status == "stopped" else ""),
        str(c.batch),
        str(c.threads),
        *map(figure, (row.p50_ms, row.p95_ms, row.p99_ms)),
        "best" if best else compared(results, row),
        f"{row.images_per_second:,.0f}",
        *map(figure, (row.load_ms or 0.0, row.first_ms or 0.0)),
        "" if row.memory_bytes is None else f"{row.memory_bytes / 1e6:.0f}",
        f"{row.size_bytes / 1e3:.0f}",
        "" if row.elbo is None else f"{row.elbo:.2f}",
        "" if row.loss is None else f"{round(row.loss, 3) + 0.0:.3f}",
    )
    cells = dict(zip(COLUMNS, values, strict=True))
    if on_device:
        cells[ON_DEVICE] = figure(row.on_device_ms) if row.on_device_ms else ""
    return cells


def _not_measured(results: Results) -> list[str]:
    failed = [row for row in results.rows if row.status == "failed"]
    return [f"{row.name}, batch {row.configuration.batch}: {row.message}" for row in failed] + [
        f"{file} was skipped: {reason}" for file, reason in results.skipped.items()
    ]


def _machine(results: Results) -> list[str]:
    facts = {**results.machine, "clock_step_ns": round(results.clock_seconds * 1e9)}
    facts["versions"] = [f"{name} {version}" for name, version in facts["versions"].items()]
    facts["runs_on"] = sorted({row.runs_on for row in results.rows if row.runs_on})
    return [f"{name.replace('_', ' ')}: {_words(value)}" for name, value in facts.items()]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


def _list(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {item}" for item in items)
