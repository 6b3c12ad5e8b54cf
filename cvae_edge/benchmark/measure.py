"""Measures a bundle's configurations on this machine, batch by batch."""

from __future__ import annotations

import math
import os
import platform
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvae_edge.benchmark.plan import Configuration, Request, make_plan
from cvae_edge.benchmark.results import Results, Row
from cvae_edge.benchmark.stopwatch import clock_resolution
from cvae_edge.benchmark.turns import take_turns
from cvae_edge.elbo import loss_budget
from cvae_edge.errors import BenchmarkError
from cvae_edge.interruption import Interruption, interruption
from cvae_edge.machine import cpu_features, gpus, installed_version, operating_system, processor
from cvae_edge.manifest import Manifest
from cvae_edge.memory import available_memory
from cvae_edge.runtime.engines import ENGINES
from cvae_edge.runtime.parallel import available_cores
from cvae_edge.runtime.source import default_bundle, open_bundle
from cvae_edge.version import __version__

_ALIVE = 16  # processes that take turns with each other; they sleep in between
_MEMORY = 200 << 20  # bytes that each is given, of at most half of what is free
_START = 1.0  # seconds that a process is expected to take until its first round

Progress = Callable[[float, float, str], None]  # seconds done, seconds in all, what is done now


def measure(
    source: Path | None = None,
    request: Request | None = None,
    on_progress: Progress = lambda done, total, now: None,
    alive: int = _ALIVE,
) -> Results:
    """Measure a bundle's files on this machine.

    Ctrl-C and SIGTERM end it early; what was measured until then is returned and marked.

    Args:
        source: the bundle's folder or .zip; None for the default bundle.
        request: what to measure; None for ``Request()``.
        on_progress: called with the expected seconds that are done, their total, and what is
            measured now.
        alive: how many processes take turns at most, if memory allows; a batch with more
            configurations is measured in groups, each beside the same reference.

    Raises:
        BundleError, ConfigError, BenchmarkError: as in ``make_plan``; or every configuration
            failed.
    """
    request = request or Request()
    source = source or default_bundle()
    bundle = open_bundle(source)
    plan = make_plan(bundle.manifest, request)
    results = Results(
        source=bundle.source,
        manifest=bundle.manifest,
        request=request,
        skipped=plan.skipped,
        machine=describe_machine(),
        clock_seconds=clock_resolution(),
        rows=[_row(bundle.manifest, c) for c in plan.configurations],
    )
    # An interrupt that Python ignores, in a destructor or a callback, is found at the next turn.
    with interruption(at_once=True) as asked:
        try:
            _measure_all(str(source), results, on_progress, alive, asked)
        except KeyboardInterrupt:
            results.interrupted = asked.signal or signal.SIGINT
    results.rows = [row for row in results.rows if row.rounds_ms or row.status == "failed"]
    failed = [row for row in results.rows if row.status == "failed"]
    if failed and len(failed) == len(results.rows) and not results.interrupted:
        raise BenchmarkError(f"at least one file must run to be measured: {failed[0].message}")
    return results


def describe_machine() -> dict[str, Any]:
    """Return what figures depend on, as JSON values."""
    versions = {"cvae-edge": __version__, "python": platform.python_version()}
    of_engines = (package for engine in ENGINES.values() for package in engine.packages)
    installed = {package: installed_version(package) for package in ("numpy", *of_engines)}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": operating_system(),
        "processor": processor(),
        "cores": available_cores(),
        "cpu_features": cpu_features(),
        "gpus": gpus(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {**versions, **{name: v for name, v in installed.items() if v}},
    }


def _row(manifest: Manifest, configuration: Configuration) -> Row:
    artifacts = {artifact.file: artifact for artifact in manifest.artifacts}
    files = [artifacts[file] for file in configuration.files]
    elbo, difference = files[0].elbo, files[0].elbo_difference
    if configuration.role == "reconstruct":
        elbo, difference = _pair_elbo(manifest, configuration)
    loss = None if difference is None else 0.0 - difference
    budget = loss_budget((elbo or 0.0) + (loss or 0.0), manifest.pixels)
    return Row(configuration, sum(a.size_bytes for a in files), elbo, loss, budget)


def _pair_elbo(manifest: Manifest, c: Configuration) -> tuple[float | None, float | None]:
    """Return what the manifest says of an encoder and decoder of one kind.

    Its report is free form, and so is trusted in nothing.
    """
    kind = {"format": c.format, "encoder": c.precision, "decoder": c.precision}
    pairs = manifest.report.get("pairs")
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, Mapping) and kind.items() <= pair.items():
            return _number(pair.get("elbo")), _number(pair.get("elbo_difference"))
    return None, None


def _number(value: object) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None  # type: ignore[arg-type]


def _measure_all(
    source: str, results: Results, on_progress: Progress, alive: int, asked: Interruption
) -> None:
    groups = list(_groups(results.rows, min(alive, _room())))
    seconds = results.request.min_seconds
    total = (len(results.rows) + len(groups)) * (_START + seconds)
    done = 0.0

    def advance(share: float, now: str) -> None:
        nonlocal done
        if asked.signal is not None:
            raise KeyboardInterrupt
        done += share
        on_progress(min(done, total), total, now)

    for rows in groups:
        batch = rows[0].configuration.batch
        noise = take_turns(source, rows, seconds, results.noise.get(batch), _START, advance)
        if noise is not None:
            results.noise[batch] = noise
    on_progress(total, total, "")


def _groups(rows: list[Row], size: int) -> Iterator[list[Row]]:
    """Yield rows that are measured in turn: of one batch, and no more than ``size``."""
    for batch in dict.fromkeys(row.configuration.batch for row in rows):
        of_batch = [row for row in rows if row.configuration.batch == batch]
        for low in range(0, len(of_batch), size):
            yield of_batch[low : low + size]


def _room() -> int:
    return max(1, available_memory() // 2 // _MEMORY)
