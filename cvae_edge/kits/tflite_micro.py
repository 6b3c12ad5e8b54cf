"""What TFLite Micro takes of RAM for a file, where its Python package is installed."""

from __future__ import annotations

import importlib.util

from cvae_edge.quiet import quiet

_STEP = 256  # bytes that the arena is found to
_LEAST, _MOST = 1 << 10, 1 << 22


def measure_arena(content: bytes) -> int | None:
    """Return the smallest arena in bytes, to 256, that a file runs in.

    Args:
        content: a TFLite file.

    Returns:
        None where tflite-micro is not installed, or cannot run the file in 4 MB.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        return None
    from tflite_micro import runtime

    def runs(size: int) -> bool:
        try:
            with quiet():
                runtime.Interpreter.from_bytes(content, arena_size=size).invoke()
        except (RuntimeError, ValueError):
            return False
        return True

    low, high = _LEAST, _MOST
    if not runs(high):
        return None
    while high - low > _STEP:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle) else (middle, high)
    return high
