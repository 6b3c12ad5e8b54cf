"""TFLite Micro's arena in bytes for a file, or its milliseconds of processor time an image.

python benchmarks/microcontroller_peer.py FILE arena|time
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tflite_micro import runtime

STEP = 16  # bytes that the arena is found to
CALLS = 10


def runs(content: bytes, size: int) -> bool:
    try:
        runtime.Interpreter.from_bytes(content, arena_size=size).invoke()
    except (RuntimeError, ValueError):
        return False
    return True


def arena(content: bytes) -> int:
    low, high = 1 << 10, 1 << 20
    while high - low > STEP:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(content, middle) else (middle, high)
    return high


def milliseconds(content: bytes) -> float:
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=1 << 20)
    interpreter.invoke()
    start = time.process_time()
    for _ in range(CALLS):
        interpreter.invoke()
    return (time.process_time() - start) * 1000 / CALLS


if __name__ == "__main__":
    found = {"arena": arena, "time": milliseconds}[sys.argv[2]]
    print(found(Path(sys.argv[1]).read_bytes()))
