"""The benchmark's side of a worker: starts it, asks it, and sees to its end."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cvae_edge
from cvae_edge.benchmark.plan import Configuration
from cvae_edge.errors import BenchmarkError
from cvae_edge.runtime.engines import Engine

_MODULE = "cvae_edge.benchmark.worker"
_PATIENCE = 2.0  # seconds that a worker may take to end by itself


class WorkerProcess:
    """A fresh process for one configuration. It ends with the block, or with this process."""

    def __init__(self, source: str, configuration: Configuration) -> None:
        self.configuration = configuration
        self._source = source
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            # -P: a folder that one happens to stand in is no place to import from
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": _import_path(configuration.engine)},
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for this process, which then ends its workers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> dict[str, Any]:
        """Open the configuration's files; return load and first run in seconds."""
        configuration = dataclasses.asdict(self.configuration)
        return self._ask(do="open", source=self._source, configuration=configuration)

    def warm_up(self) -> dict[str, Any]:
        """Run until the median settles; return it, in seconds."""
        return self._ask(do="warm_up")

    def round(self, seconds: float, runs: int) -> dict[str, Any]:
        """Measure a round; return its median, and a summary of all rounds so far, in seconds."""
        return self._ask(do="round", seconds=seconds, runs=runs)

    def close(self) -> None:
        """End the process; it is gone when this returns."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:  # it ended first
                self._process.kill()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            BenchmarkError: the worker refused, in its words, or its process is gone.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise BenchmarkError("a worker must have pipes, got none")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchmarkError(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise BenchmarkError(reply["error"])
        return reply

    def _last_words(self) -> str:
        code = self._process.wait()
        name = self.configuration.name
        if code < 0:
            return (
                f"{name} ended the process that ran it ({signal.Signals(-code).name}): the file is "
                "damaged or made to harm, or memory ran out; cvae-edge verify may say more"
            )
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").splitlines()
        return (
            f"{name} ended the process that ran it (exit code {code}): {(lines or ['no word'])[-1]}"
        )


def _import_path(engine: Engine) -> str:
    """Return where the worker finds this very package and its engine, then what this one has."""
    package = str(Path(cvae_edge.__file__).parents[1])
    own = _folder(engine.module.partition(".")[0])
    return os.pathsep.join(filter(None, (package, own, os.environ.get("PYTHONPATH"))))


def _folder(module: str) -> str | None:
    """Return the folder that a module or package was found in."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    is_package = spec.submodule_search_locations is not None
    return str(Path(spec.origin).parents[1 if is_package else 0])
