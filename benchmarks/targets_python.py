"""One file in one engine, for targets.py; runs in that engine's own environment.

    python targets_python.py ENGINE < requests > answers

Both are JSON, a document a line. The first request is {"file", "bundle", "folder", "inputs",
"outputs"}: three paths, the last one a temporary folder's, and names and shapes of tensors in the
graph's order, with a batch of 1. {"run": {NAME: [ARRAY in base64, ...]}} then runs images one at a
time, {"seconds": S} times the last of them.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from targets_engines import ENGINES, Arrays, Job, Run


def read(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.float32)


def write(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def images(job: Job, request: dict[str, list[str]]) -> list[Arrays]:
    columns = [
        [read(t).reshape(job.inputs[name]) for t in texts] for name, texts in request.items()
    ]
    return [dict(zip(request, row, strict=True)) for row in zip(*columns, strict=True)]


def milliseconds(run: Run, x: Arrays, seconds: float) -> float:
    """The median of calls with one image, the first ones left out."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run(x)
        times.append(time.perf_counter() - start)
    return float(np.median(times[len(times) // 5 :])) * 1000


def answers(engine: str, requests: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    job = Job(next(requests))
    run = ENGINES[engine](job)
    yield {"bytes": job.bytes()}
    given: list[Arrays] = []
    for request in requests:
        if "run" in request:
            given = images(job, request["run"])
            rows = [{name: write(y) for name, y in run(x).items()} for x in given]
            yield {name: [row[name] for row in rows] for name in job.outputs}
        else:
            yield {"milliseconds": milliseconds(run, given[-1], request["seconds"])}


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print as they please
    try:
        for answer in answers(sys.argv[1], map(json.loads, sys.stdin)):
            print(json.dumps(answer), file=out, flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=out, flush=True)


if __name__ == "__main__":
    main()
