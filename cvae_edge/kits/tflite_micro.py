"""What TFLite Micro takes of RAM for a file, where its Python package is installed.

    python -m cvae_edge.kits.tflite_micro SIZE

runs the file on standard input in an arena of SIZE bytes. It is a process of its own for each size:
TFLite Micro may crash in an arena that is too small.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

_STEP = 256  # bytes that the arena is found to
_LEAST, _MOST = 1 << 10, 1 << 22
_SECONDS = 60  # for one run, on any machine


def measure_arena(content: bytes) -> int | None:
    """Return the smallest arena in bytes, to 256, that a file runs in.

    Args:
        content: a TFLite file.

    Returns:
        None where tflite-micro is not installed, or cannot run the file in 4 MB.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        return None
    low, high = _LEAST, _MOST
    if not _runs(content, high):
        return None
    while high - low > _STEP:
        middle = (low + high) // 2
        low, high = (low, middle) if _runs(content, middle) else (middle, high)
    return high


def _runs(content: bytes, size: int) -> bool:
    command = [sys.executable, "-m", __spec__.name, str(size)]
    done = subprocess.run(command, input=content, capture_output=True, timeout=_SECONDS)
    return done.returncode == 0


if __name__ == "__main__":
    from tflite_micro import runtime

    runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=int(sys.argv[1])).invoke()
