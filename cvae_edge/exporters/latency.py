"""How long a file takes for one image on this machine, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime as ort
from ai_edge_litert.interpreter import Interpreter

from cvae_edge.quiet import quiet

Call = Callable[[], object]
_WARM_UP = 10


def median_latencies(calls: Mapping[str, Call], rounds: int = 60) -> dict[str, float]:
    """Return each call's median time in microseconds.

    The calls take turns, so that a machine that slows down does so for all of them.
    """
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return {name: 1e6 * float(np.median(t)) for name, t in times.items()}


def make_call(format: str, content: bytes, batch: int = 1, threads: int = 1) -> Call:
    """Open a file, whatever its tensors' names, and return what runs it once."""
    return (_onnx_call if format == "onnx" else _litert_call)(content, batch, threads)


def _onnx_call(content: bytes, batch: int, threads: int) -> Call:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = {
        tensor.name: np.full((batch, *tensor.shape[1:]), 0.5, np.float32)
        for tensor in session.get_inputs()
    }
    return lambda: session.run(None, inputs)


def _litert_call(content: bytes, batch: int, threads: int) -> Call:
    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=threads)
        for details in interpreter.get_input_details():
            interpreter.resize_tensor_input(details["index"], [batch, *details["shape"][1:]])
        interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    return interpreter.invoke  # type: ignore[no-any-return]
