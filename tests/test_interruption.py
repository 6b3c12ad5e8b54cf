"""A first signal is noted, a second one ends the process at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WAITS = """
import time
from cvae_edge.interruption import interruption
with interruption() as asked:
    print("ready", flush=True)
    while asked.signal is None:
        time.sleep(0.01)
    print(asked.signal, flush=True)
    time.sleep(600)
"""
LOST = """
import os, signal
from cvae_edge.interruption import interruption
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
with interruption(at_once=True) as asked:
    Destroyed()
    print(asked.signal)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_and_without_a_traceback(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == f"{int(number)}\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (-number, "")


def test_an_interrupt_that_python_ignores_is_noted() -> None:
    result = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True)
    assert result.stdout == "2\nTrue\n"
    assert "KeyboardInterrupt" in result.stderr  # which Python ignored
