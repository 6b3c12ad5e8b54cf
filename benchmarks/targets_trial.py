"""A pair of files in an engine's own process: for targets.py."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from cvae_edge.bundle import Bundle
from cvae_edge.codec import Array, Codec, Graph
from cvae_edge.elbo import evaluate
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.verify import largest_difference, read_golden

LIMIT = 300.0  # seconds a pair: opening, golden inputs, test images and timing
SECONDS = 1.0  # of timing
_REASON = 300  # characters of an engine's own words
ROLES = ("encoder", "decoder")
Figures = dict[str, Any]


class RefusedError(Exception):
    """An engine does not take a file; the message is its own."""


class Worker:
    """Asks a process that runs one file; see targets_python.py."""

    def __init__(self, process: subprocess.Popen[str], noise: IO[str], end: float) -> None:
        self._process, self._noise, self._end = process, noise, end

    def ask(self, **request: Any) -> Figures:
        """Return its answer.

        Raises:
            RefusedError: it has none: the engine refused, crashed, or takes too long.
        """
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline() if self._process.stdout else ""
        except BrokenPipeError:
            line = ""
        answer: Figures = json.loads(line) if line else {"error": self._end_of_it()}
        if "error" in answer:
            raise RefusedError(" ".join(answer["error"].split())[:_REASON])
        return answer

    def hurry(self) -> bool:
        """Put the process before all other work, where that is allowed; return whether it is."""
        try:
            os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            return False
        return True

    def _end_of_it(self) -> str:
        code = self._process.wait()
        if time.monotonic() > self._end:
            return f"it is not done after {LIMIT:g} s"
        self._noise.seek(0)
        last = (self._noise.read().strip().splitlines() or [""])[-1]
        return f"exit status {code}: {last}"


@contextmanager
def started(command: Sequence[str]) -> Iterator[Worker]:
    """Start a worker on one core, and end it with the block or after the time limit."""
    one_core = ("taskset", "-c", str(max(os.sched_getaffinity(0))))
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile("w+") as noise:
        process = subprocess.Popen(
            (*one_core, *command), stdin=pipe, stdout=pipe, stderr=noise, text=True
        )
        end = time.monotonic() + LIMIT  # before the timer's: what it killed is past this
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        try:
            yield Worker(process, noise, end)
        finally:
            timer.cancel()
            process.kill()
            process.communicate()


def tensors(artifact: Artifact, content: bytes) -> dict[str, list[Figures]]:
    """Return inputs and outputs in the graph's order, with a batch of 1."""
    outputs = list(artifact.outputs)
    if artifact.format == "tflite":  # the manifest has the signature's order
        interpreter = Interpreter(model_content=content)
        named = interpreter.get_signature_runner().get_output_details()
        order = [details["index"] for details in interpreter.get_output_details()]
        outputs.sort(key=lambda t: order.index(named[t.name]["index"]))
    listed = {"inputs": artifact.inputs, "outputs": outputs}
    return {
        kind: [{"name": t.name, "shape": [1, *t.shape[1:]]} for t in of]
        for kind, of in listed.items()
    }


def graph_of(worker: Worker, artifact: Artifact) -> Graph:
    """Return the file that a worker has open as a function of a batch."""

    def texts(x: Array) -> list[str]:
        return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in x]

    def array(rows: list[str], shape: tuple[int, ...]) -> Array:
        values = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
        return np.stack(values).reshape(-1, *shape)

    def run(**inputs: Array) -> dict[str, Array]:
        answer = worker.ask(run={name: texts(x) for name, x in inputs.items()})
        return {t.name: array(answer[t.name], t.shape[1:]) for t in artifact.outputs}

    return run


class Trial:
    """Pairs of a bundle's files with test images, in the engine that a command starts."""

    def __init__(self, bundle: Bundle, images: Array, command: Sequence[str] = ()) -> None:
        self._bundle, self._images, self._command = bundle, images, command
        self._golden = read_golden(bundle)

    def __call__(self, format: str, precision: str) -> Figures:
        """Return the figures of both halves, or why they have none, and the pair's ELBO."""
        figures: Figures = {}
        graphs: dict[str, Graph] = {}
        with ExitStack() as stack:
            workers = {role: stack.enter_context(started(self._command)) for role in ROLES}
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for role, worker in workers.items():
                artifact = self._bundle.manifest.find(role, format, precision)
                try:
                    graphs[role], figures[role] = self._try(worker, artifact, folder / role)
                except RefusedError as error:
                    figures[role] = {"refused": str(error)}
            try:
                elbo = self.elbo(Codec(**graphs)) if len(graphs) == len(ROLES) else np.nan
                if np.isfinite(elbo):
                    figures["elbo"] = elbo
                for role in graphs:
                    figures[role]["real_time"] = workers[role].hurry()
                    times = workers[role].ask(seconds=SECONDS)
                    figures[role]["milliseconds"] = round(times["milliseconds"], 4)
            except RefusedError as error:
                figures["refused"] = str(error)
        return figures

    def elbo(self, codec: Codec) -> float:
        """Return the ELBO of a pair on the test images."""
        manifest = self._bundle.manifest
        return evaluate(codec, self._images, manifest.pixels.binarize, manifest.likelihood).elbo

    def _try(self, worker: Worker, artifact: Artifact, folder: Path) -> tuple[Graph, Figures]:
        content = self._bundle.read(artifact)
        folder.mkdir()
        file = folder / artifact.file
        file.write_bytes(content)
        places = {"file": file, "bundle": self._bundle.source, "folder": folder}
        opened = worker.ask(
            **{name: str(place) for name, place in places.items()}, **tensors(artifact, content)
        )
        graph = graph_of(worker, artifact)
        given = graph(**{t.name: self._golden[t.name] for t in artifact.inputs})
        differences = {
            t.name: largest_difference(given[t.name], self._golden[f"{artifact.file}/{t.name}"])
            for t in artifact.outputs
        }
        return graph, {
            "bytes": opened["bytes"],
            "differences": {name: float(f"{d:.3g}") for name, d in differences.items()},
            "right": is_within(differences, artifact.tolerance),
        }


def is_within(differences: Mapping[str, float], tolerance: Mapping[str, float]) -> bool:
    """Whether outputs differ by no more than the manifest allows."""
    return all(difference <= tolerance[name] for name, difference in differences.items())
