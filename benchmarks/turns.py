"""Peers that take turns, each in a process of its own with its own threads.

The driver starts a peer with ``Peer``, whose process answers requests in ``serve``. A peer is
stopped (SIGSTOP) while it is not its turn: idle threads of onnxruntime, OpenVINO and OpenMP spin on
after a run, and would be in the way of the next.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_MAX_CALLS = 1000  # in one turn
_DISTURBED = 0.3  # of a core; ticks of 10 ms make less uncertain
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class PeerError(Exception):
    """A peer that cannot be measured, and why."""


class Peer:
    """A process that answers one request at a time; a context, which ends it."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what runtimes announce; errors come as an answer
            text=True,
        )
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._read()  # it is ready

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def ask(self, **request: Any) -> Any:
        """Wake the process, return its answer, and stop it again.

        Raises:
            PeerError: it could not answer.
        """
        self._process.send_signal(signal.SIGCONT)
        print(json.dumps(request), file=self._requests, flush=True)
        return self._read()

    def ask_undisturbed(self, **request: Any) -> Any:
        """Ask again, twice at most, while other processes keep the machine busy meanwhile."""
        attempts = []
        for _ in range(3):
            started, before = time.perf_counter(), self._others_seconds()
            answer = self.ask(**request)
            others = self._others_seconds() - before
            attempts.append((others / (time.perf_counter() - started), answer))
            if attempts[-1][0] < _DISTURBED:
                break
        return min(attempts, key=lambda attempt: attempt[0])[1]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise PeerError(f"its process ended with {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            self.close()
            raise PeerError(answer["error"])
        self._process.send_signal(signal.SIGSTOP)
        return answer["answer"]

    def _others_seconds(self) -> float:
        """Return the processor time that others have used, what a hypervisor took included."""
        machine = Path("/proc/stat")
        if not machine.exists():  # not Linux: nobody knows
            return 0.0
        user, nice, system, _idle, _wait, *rest = machine.read_text().split()[1:9]
        process = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = sum(map(int, (user, nice, system, *rest))) - sum(map(int, process[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")


def serve(prepare: Callable[[], Callable[..., Any]]) -> None:
    """Be a peer: ``prepare``, and answer requests with what it returned, until there are no more.

    What frameworks print goes to standard error, which ``Peer`` leaves unread.
    """
    if sys.platform == "linux":  # a stopped process would outlive a driver that was killed
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(**line: Any) -> None:
        print(json.dumps(line), file=answers, flush=True)

    try:
        answer = prepare()
        send(answer="ready")
        for line in sys.stdin:
            send(answer=answer(**json.loads(line)))
    except Exception as error:  # whatever it is, the driver says it
        send(error=f"{type(error).__name__}: {error}".splitlines()[0])


def timed(turn: Callable[[], object]) -> Callable[[], float]:
    """Return what runs a turn and says its seconds."""

    def seconds() -> float:
        started = time.perf_counter()
        turn()
        return time.perf_counter() - started

    return seconds


def median_seconds(call: Callable[[], object], seconds: float) -> float:
    """Call for ``seconds`` after half as long to wake caches and threads; one call may do."""
    first = _times(call, seconds / 2)
    return float(np.median(first if sum(first) > seconds else _times(call, seconds)))


def _times(call: Callable[[], object], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _MAX_CALLS:
        started = time.perf_counter()
        call()
        now = time.perf_counter()
        times.append(now - started)
        if now > end:
            break
    return times


def ratio(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """Return median, lowest and highest of the rounds' ratios."""
    ratios = np.array(slower) / np.array(faster)
    return {
        "ratio": round(float(np.median(ratios)), 3),
        "lowest": round(float(ratios.min()), 3),
        "highest": round(float(ratios.max()), 3),
    }
