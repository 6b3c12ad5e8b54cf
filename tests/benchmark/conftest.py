"""The tiny bundle, parts of it, and results without measuring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cvae_edge.benchmark.measure import describe_machine
from cvae_edge.benchmark.plan import Configuration, Request
from cvae_edge.benchmark.results import Noise, Results, Row
from cvae_edge.bundle import Bundle
from cvae_edge.manifest import MANIFEST, digest
from cvae_edge.runtime.engines import find_engine

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture(scope="session")
def tiny() -> Bundle:
    return Bundle.open(TINY)


@pytest.fixture
def part(tmp_path: Path) -> Callable[..., Path]:
    """Make a bundle of some of the tiny one's files."""

    def copy(*files: str) -> Path:
        folder = tmp_path / "part"
        folder.mkdir()
        manifest = json.loads((TINY / MANIFEST).read_text())
        manifest["artifacts"] = [a for a in manifest["artifacts"] if a["file"] in files]
        manifest["digest"] = digest(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))
        for file in files:
            shutil.copy(TINY / file, folder)
        return folder

    return copy


def make_row(
    name: str = "decoder.onnx",
    ms: float = 1.0,
    loss: float | None = 0.0,
    size: int = 1000,
    threads: int = 1,
    batch: int = 1,
    scatter: float = 0.0,
    provider: str = "cpu",
) -> Row:
    """Ten rounds of ``ms`` a call, every other one longer by the share ``scatter``."""
    parts = name.split(".")
    precision = parts[1] if len(parts) == 3 else "float32"
    engine = find_engine(parts[-1], provider)
    c = Configuration("decoder", (name,), parts[-1], precision, provider, threads, batch, engine)
    rounds = [ms * (1 + scatter * (i % 2)) for i in range(10)]
    return Row(
        c, size, -77.0, loss, 0.5, "measured", runs_on="onnxruntime", load_ms=1.0, first_ms=1.0,
        memory_bytes=10**7, warm_up_runs=10, settled=True, runs=100, p50_ms=ms, p95_ms=2 * ms,
        p99_ms=3 * ms, images_per_second=1e3 * batch / ms, rounds_ms=rounds, relative=rounds,
    )  # fmt: skip


def make_results(bundle: Bundle, *rows: Row, noise: float = 0.02) -> Results:
    batches = tuple(dict.fromkeys(row.configuration.batch for row in rows))
    threads = tuple(dict.fromkeys(row.configuration.threads for row in rows))
    return Results(
        source="tiny",
        manifest=bundle.manifest,
        request=Request(batches=batches, threads=threads),
        skipped={},
        machine=describe_machine(),
        clock_seconds=1e-7,
        rows=list(rows),
        noise={batch: Noise(rows[0].configuration, 1.0, noise) for batch in batches},
    )
