"""The command that measures a bundle on the machine at hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cvae_edge.cli.options import ALSO, JSON, OUTPUT, RUNNING, SUBJECT, one_bundle
from cvae_edge.cli.output import (
    print_error,
    print_json,
    print_table,
    progress_bar,
    say,
)
from cvae_edge.errors import ConfigError
from cvae_edge.model_config import require
from cvae_edge.runtime.engines import known_providers

if TYPE_CHECKING:
    from cvae_edge.benchmark.plan import Request
    from cvae_edge.benchmark.results import Results

_WIDE = 132  # columns of a terminal that all figures fit into
_NARROW = ("file", "batch", "threads", "p50 ms", "ratio", "img/s", "nats")


def benchmark(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    role: str = typer.Option(
        "decoder",
        help="What to time: decoder (latents to images), encoder (images to latents), "
        "reconstruct (both), or "
        "generate (seeds to images, noise included).",
        rich_help_panel=RUNNING,
    ),
    batch: str = typer.Option(
        "1,16,256",
        help="Batch sizes to measure. The advice begins with the smallest.",
        rich_help_panel=RUNNING,
    ),
    threads: str | None = typer.Option(
        None,
        help="Numbers of threads, such as 1,2. By default 1 and all cores.",
        rich_help_panel=RUNNING,
    ),
    provider: str = typer.Option(
        "cpu",
        help=f"What runs the files: {', '.join(known_providers())}, or several.",
        rich_help_panel=RUNNING,
    ),
    min_seconds: float = typer.Option(
        2.0,
        help="Least time to measure each configuration for, in seconds.",
        rich_help_panel=RUNNING,
    ),
    json: bool = JSON,
    out: Path | None = typer.Option(
        None, help="Folder to write results.json, report.md and plots into.", rich_help_panel=OUTPUT
    ),
) -> None:
    """Time every file on this machine, and say which to ship and what it costs."""
    bundle = one_bundle(subject, bundle)
    request = _request(role, batch, threads, provider, min_seconds)
    if out is not None:
        require(not out.exists() or out.is_dir(), "--out must be a folder", f"the file {out}")
        out.mkdir(parents=True, exist_ok=True)  # now, and not after minutes of measuring
    results = _measure(bundle, request)
    _print(results, json)
    if out is not None:
        from cvae_edge.benchmark.folder import write_report

        for skipped in write_report(results, out):
            print_error(skipped)
    raise typer.Exit(128 + results.interrupted if results.interrupted else 0)


def _request(
    role: str, batch: str, threads: str | None, provider: str, min_seconds: float
) -> Request:
    from cvae_edge.benchmark.plan import Request
    from cvae_edge.runtime.parallel import available_cores

    return Request(
        role,
        _integers("--batch", batch),
        _integers("--threads", threads if threads is not None else f"1,{available_cores()}"),
        tuple(dict.fromkeys(name.strip() for name in provider.split(","))),
        min_seconds,
    )


def _integers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise ConfigError(
            f"{option} must be whole numbers with commas between them, got {text!r}"
        ) from error


def _measure(bundle: Path | None, request: Request) -> Results:
    from cvae_edge.benchmark.measure import measure

    with progress_bar() as bar:
        task = bar.add_task("measuring", total=None, note="")
        return measure(
            bundle,
            request,
            lambda done, total, now: bar.update(task, completed=done, total=total, note=now),
        )


def _print(results: Results, json: bool) -> None:
    """Print the document, or the table with the advice beneath it."""
    from cvae_edge.benchmark.report import COLUMNS_HELP, table_rows, to_json
    from cvae_edge.benchmark.sentence import sentences

    if json:
        print_json(to_json(results))
        return
    width = shutil.get_terminal_size((_WIDE, 0)).columns
    rows = table_rows(results)
    shown = [column for column in rows[0] if column in _NARROW or width >= _WIDE] if rows else []
    print_table(results.source, shown, [[row[column] for column in shown] for row in rows], width)
    for row in results.rows:
        if row.status == "failed":
            print_error(f"{row.name}, batch {row.configuration.batch}: {row.message}")
    for reason in dict.fromkeys(results.skipped.values()):
        files = [file for file, why in results.skipped.items() if why == reason]
        print_error(f"skipped {', '.join(files)}: {reason}")
    if results.interrupted:
        print_error("interrupted: rows marked * lack rounds, and others are absent")
    more = "" if width >= _WIDE else " A wider terminal, --json and --out have all of them."
    say("\n".join([COLUMNS_HELP + more, "", *sentences(results)]))
