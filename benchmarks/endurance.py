"""Many threads and many loads: equal to the bit, with memory, threads and files flat?

    python benchmarks/endurance.py [--calls 100000] [--threads 16] [--loads 1000]

Threads share one model of the reference bundle, in each format that is installed, and make mixed
calls in an order of their own; each result must be equal to that of one thread before. Then the
model is loaded again and again, and draws an image each time. What the process holds is read after
a tenth and at the end (Linux).
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import record

from cvae_edge import EdgeCVAE

REFERENCE = Path(__file__).parents[1] / "export" / "reference"
FORMATS = ("onnx", "tflite") if find_spec("ai_edge_litert") else ("onnx",)
# Of memory between a tenth of the way and the end: allocators keep some of what was freed.
MEGABYTES = 10.0


def held() -> dict[str, float]:
    """What the process holds: resident memory in MB, threads, open files."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "megabytes": int(fields["VmRSS"].split()[0]) / 1000,
        "threads": int(fields["Threads"]),
        "files": len(os.listdir("/proc/self/fd")),
    }


def make_calls(model: EdgeCVAE) -> list[Callable[[], Any]]:
    """Calls of every kind, each with a result of its own."""
    x = model.generate(8, seed=7)
    z = np.random.default_rng(0).standard_normal((4, model.latent_dim)).astype(np.float32)
    calls: list[Callable[[], Any]] = [lambda n=n: model.generate(n, seed=n) for n in (1, 2, 3)]
    calls += [lambda i=i: model.encode(x[i : i + 2]).mean for i in range(4)]
    calls += [lambda: model.decode(z), lambda: model.reconstruct(x[:2], seed=3)]
    calls += [lambda: model.score(x[:3]), lambda: model.score(x[:2], samples=2)]
    calls += [lambda: model.interpolate(x[:1], x[1:2], steps=3)]
    return calls


def many_threads(format: str, calls: int, threads: int) -> dict[str, Any]:
    model = EdgeCVAE.load(REFERENCE, format=format, precision="int8")
    kinds = make_calls(model)
    expected = [np.array(call()) for call in kinds]
    samples: list[dict[str, float]] = []
    start = threading.Barrier(threads)

    def work(seed: int) -> int:
        rng, different = random.Random(seed), 0
        start.wait()
        for i in range(calls // threads):
            if seed == 0 and i == calls // threads // 10:
                samples.append(held())
            kind = rng.randrange(len(kinds))
            different += not np.array_equal(kinds[kind](), expected[kind])
        if seed == 0:
            samples.append(held())  # while others still run
        start.wait()
        return different

    with ThreadPoolExecutor(threads) as pool:
        different = sum(pool.map(work, range(threads)))
    return {"calls": calls // threads * threads, "different": different, **flatness(*samples)}


def many_loads(format: str, loads: int) -> dict[str, Any]:
    expected = EdgeCVAE.load(REFERENCE, format=format).generate()
    different, samples = 0, []
    for i in range(loads):
        if i == loads // 10:
            samples.append(held())
        different += not np.array_equal(
            EdgeCVAE.load(REFERENCE, format=format).generate(), expected
        )
    samples.append(held())
    return {"loads": loads, "different": different, **flatness(*samples)}


def flatness(early: dict[str, float], late: dict[str, float]) -> dict[str, float]:
    return {f"more_{name}": round(late[name] - early[name], 1) for name in early}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--loads", type=int, default=1000)
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for format in FORMATS:
        name = f"{format}, {arguments.threads} threads"
        figures[name] = many_threads(format, arguments.calls, arguments.threads)
        figures[f"{format}, loads"] = many_loads(format, arguments.loads)
    rows = [
        (name, f.get("calls", f.get("loads")), f["different"], f["more_megabytes"],
         f["more_threads"], f["more_files"])
        for name, f in figures.items()
    ]  # fmt: skip
    columns = ("what", "times", "different results", "more MB", "more threads", "more files")
    record.write(
        "endurance", figures, "Many threads, many loads", record.markdown_table(columns, rows)
    )
    for f in figures.values():
        if (
            f["different"]
            or f["more_megabytes"] > MEGABYTES
            or f["more_threads"] > 0
            or f["more_files"] > 0
        ):
            sys.exit(1)


if __name__ == "__main__":
    main()
