"""The process that one configuration lives in: ``python -m cvae_edge.benchmark.worker``.

It reads one JSON request a line from standard input and answers each with one line on standard
output: first a configuration, which it opens; then "warm_up"; then rounds. Between them it waits in
a system call and takes nothing from the others. When its input ends, it ends, whatever it is doing.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from cvae_edge.benchmark.plan import INPUTS, Configuration
from cvae_edge.errors import CvaeEdgeError
from cvae_edge.runtime.engines import Engine, register


class Worker:
    """One configuration, opened and timed."""

    def __init__(self, source: str, configuration: Configuration) -> None:
        self._source, self._configuration = source, configuration
        self._memory_before = 0

    def open(self) -> dict[str, Any]:
        """Open the files and run them once."""
        from cvae_edge.benchmark.calls import make_inputs
        from cvae_edge.benchmark.stopwatch import Stopwatch
        from cvae_edge.runtime.source import open_bundle

        c = self._configuration
        manifest = open_bundle(self._source).manifest
        inputs = make_inputs(manifest, c.role, c.batch)
        first = next(inputs)
        self._memory_before = resident_memory()
        runs_on = _import_engine(c)
        started = time.perf_counter()
        call = self._open_call()
        loaded = time.perf_counter()
        call(**first)
        ended = time.perf_counter()
        self._watch = Stopwatch(call, inputs)
        self._on_device = self._open_on_device()
        gc.disable()  # as timeit does; nothing here makes cycles
        return {"load": loaded - started, "first": ended - loaded, "runs_on": runs_on}

    def warm_up(self) -> dict[str, Any]:
        """Run until the median settles."""
        runs, median, settled = self._watch.warm_up()
        if self._on_device:
            self._on_device.warm_up()
        return {"warm_up_runs": runs, "median": median, "settled": settled}

    def round(self, seconds: float, runs: int) -> dict[str, Any]:
        """Measure one round, and sum up all so far."""
        reply: dict[str, Any] = {"median": self._watch.round(seconds, runs)}
        if self._on_device:
            self._on_device.round(seconds, runs)
            reply["on_device"] = self._on_device.summary()["p50"]
        memory = resident_memory() - self._memory_before if self._memory_before else None
        return {**reply, **self._watch.summary(), "memory": memory}

    def _open_call(self) -> Any:
        from cvae_edge.benchmark.calls import open_call
        from cvae_edge.runtime.source import open_bundle

        return open_call(open_bundle(self._source), self._configuration)

    def _open_on_device(self) -> Any:
        """Return a stopwatch for runs without copies; None where there is no device of its own."""
        c = self._configuration
        if c.engine.name != "onnxruntime" or c.role == "generate" or len(c.files) > 1:
            return None  # I/O binding is onnxruntime's
        from cvae_edge.benchmark.calls import find_artifacts, make_inputs
        from cvae_edge.benchmark.on_device import DEVICES, open_on_device
        from cvae_edge.benchmark.stopwatch import Stopwatch
        from cvae_edge.runtime.source import open_bundle

        if c.provider not in DEVICES:
            return None
        bundle = open_bundle(self._source)
        (artifact,) = find_artifacts(bundle.manifest, c.files)
        inputs = list(islice(make_inputs(bundle.manifest, c.role, c.batch), INPUTS))
        call = open_on_device(
            artifact, bundle.read(artifact), c.threads, c.provider, inputs, DEVICES[c.provider]
        )
        return Stopwatch(call, repeat({}))


def _import_engine(c: Configuration) -> str:
    """Import what opens a format, whose memory counts and whose time does not; return its name."""
    from cvae_edge.runtime.engines import load_engine

    module = load_engine(c.format, c.provider)
    own_name = module.provider_name(c.provider) if hasattr(module, "provider_name") else ""
    return ", ".join(filter(None, (c.engine.name, own_name)))


def resident_memory() -> int:
    """Return this process's bytes in memory; 0 where the system does not say."""
    statm = Path("/proc/self/statm")  # Linux
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def answer(worker: Worker, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks; what a user can cause comes back as a sentence."""
    actions: dict[str, Callable[[], dict[str, Any]]] = {
        "open": worker.open,
        "warm_up": worker.warm_up,
        "round": partial(worker.round, request.get("seconds", 0.0), request.get("runs", 1)),
    }
    try:
        return actions[request["do"]]()
    except (CvaeEdgeError, MemoryError) as error:
        return {"error": str(error) or "there is not enough memory"}


def _requests(lines: IO[str]) -> SimpleQueue[dict[str, Any]]:
    """Read requests in a thread of its own, so that their end is noticed in the middle of a run."""
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def read() -> None:
        for line in lines:
            requests.put(json.loads(line))
        os._exit(0)  # whoever asked is gone

    threading.Thread(target=read, daemon=True).start()
    return requests


def main() -> None:
    """Serve requests until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints is no reply
    requests = _requests(sys.stdin)
    request = requests.get()
    fields = request["configuration"]
    values: list[Any] = [tuple(v) if isinstance(v, list) else v for v in fields["engine"]]
    engine = Engine(*values)
    register(engine)  # one that the asking process was told of is not in this one's table
    configuration = Configuration(**{**fields, "files": tuple(fields["files"]), "engine": engine})
    worker = Worker(request["source"], configuration)
    while True:
        print(json.dumps(answer(worker, request)), file=replies, flush=True)
        request = requests.get()


if __name__ == "__main__":
    main()
