"""ONNX files in OpenVINO, which is faster than onnxruntime for int8 in batches."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from cvae_edge.codec import Array
from cvae_edge.errors import BundleError
from cvae_edge.manifest import Artifact
from cvae_edge.model_config import require
from cvae_edge.runtime.parallel import available_cores


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Import OpenVINO as where openvino_telemetry is not installed.

    With it the import alone writes an identifier of the user into their home folder.
    """
    name = "openvino_telemetry"
    loaded = name in sys.modules
    if not loaded:
        sys.modules[name] = None  # type: ignore[assignment] # Python's sign of what is not there
    try:
        yield
    finally:
        if not loaded:
            del sys.modules[name]


with _without_telemetry():
    import openvino as ov
    from openvino import opset13

# One for the process. Each brings a signal stack for the thread that first compiles with it; where
# two end in the order of their beginning, the thread is left with memory that is no longer there,
# and the next signal, a Ctrl-C say, ends the process.
_CORE = ov.Core()
_PID = os.getpid()  # its threads are not in a forked process, and waiting for them may never end
_LARGEST = 256  # images in a run
_SPARE = 8  # places of a run that may be left empty: they cost less than a run more


class OpenVINOGraph:
    """An ONNX file; see ``Graph``. Inputs and outputs are float32 in every precision.

    Any number of threads may call it at once. They take turns: a run has all of ``threads``.
    """

    def __init__(
        self, artifact: Artifact, content: bytes, threads: int | None = None, provider: str = ""
    ) -> None:
        require(
            os.getpid() == _PID,
            "OpenVINO runs in the process that loaded it and in spawned ones, not in forked ones",
            f"process {os.getpid()}, forked from {_PID}",
        )
        self._file = artifact.file
        self._inputs = [tensor.name for tensor in artifact.inputs]
        self._outputs = [tensor.name for tensor in artifact.outputs]
        self._threads = threads or available_cores()
        self._turn = threading.Lock()
        try:
            # As a file object: bytes might be taken for a path.
            model = _CORE.read_model(io.BytesIO(content))
            self._multiply_in_float32(model)
        except Exception as error:  # OpenVINO's own errors share no base class
            raise BundleError(
                f"{self._file} cannot be opened by OpenVINO: {_reason(error)}"
            ) from error
        self._check_names(model)
        parameters = [model.input(name).get_node() for name in self._inputs]
        outputs = [model.output(name) for name in self._outputs]
        self._network = _Network(ov.Model(outputs, parameters), self._threads)

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run the graph on a batch of any size."""
        try:
            with self._turn:
                values = self._network.run([inputs[name] for name in self._inputs])
        except Exception as error:  # as above
            raise BundleError(
                f"{self._file} cannot be run by OpenVINO: {_reason(error)}"
            ) from error
        return dict(zip(self._outputs, values, strict=True))

    def _multiply_in_float32(self, model: ov.Model) -> None:
        """Give products of matrices float32 weights, which is what they multiply by in the file.

        Left to itself OpenVINO makes integer products of them, which saturate on processors
        without VNNI: an int8 encoder was off by four times its tolerance. Convolutions are exact.
        """
        for node in model.get_ops():
            weights = node.input_value(1) if node.get_type_name() == "MatMul" else None
            if weights and weights.get_node().get_type_name() == "Multiply":  # by their scales
                values = _CORE.compile_model(ov.Model([weights], []), "CPU")({})[0]
                constant = opset13.constant(np.array(values))
                node.input(1).replace_source_output(constant.output(0))

    def _check_names(self, model: ov.Model) -> None:
        expected = (set(self._inputs), set(self._outputs))
        got = tuple(
            {t.get_any_name() for t in tensors} for tensors in (model.inputs, model.outputs)
        )
        if got != expected:
            raise BundleError(
                f"{self._file} must have the inputs and outputs {expected}, got {got}"
            )


open_session = OpenVINOGraph  # see ``Engine``


class _Network:
    """A model, compiled for each size of batch that it meets; for one thread at a time.

    With a free batch OpenVINO takes twice the time for each image, and to compile takes 50 to
    250 ms. So the sizes are powers of two, few enough to keep them all.
    """

    def __init__(self, model: ov.Model, threads: int) -> None:
        self.model = model
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,  # all threads in one run, as the turns want it
            "INFERENCE_PRECISION_HINT": "f32",  # some processors would take bfloat16 for float32
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # or stored int8 weights make activations int8
        }
        self._requests: dict[int, ov.InferRequest] = {}  # by batch size

    def run(self, inputs: list[Array]) -> list[Array]:
        parts: list[list[Array]] = []
        low, n = 0, len(inputs[0])
        for size in _sizes(n):
            request = self._requests.get(size) or self._compile(size)
            rows = min(size, n - low)
            for i, x in enumerate(inputs):
                _fill(request.get_input_tensor(i).data, x[low : low + rows])
            request.infer(share_outputs=True)  # inputs that are in place take 0.1 ms less
            outputs = (tensor.data[:rows] for tensor in request.output_tensors)
            parts.append([np.array(y) for y in outputs])  # a copy: the next run overwrites it
            low += rows
        return (
            parts[0] if len(parts) == 1 else [np.concatenate(y) for y in zip(*parts, strict=True)]
        )

    def _compile(self, size: int) -> ov.InferRequest:
        self.model.reshape({t: [size, *list(t.partial_shape)[1:]] for t in self.model.inputs})
        compiled = _CORE.compile_model(self.model, "CPU", self._options)
        request = self._requests[size] = compiled.create_infer_request()
        return request


def _sizes(n: int) -> Iterator[int]:
    """Give the powers of two that a batch of ``n`` is run in; the last may have places to spare."""
    while n > 0:
        size = min(1 << (n - 1).bit_length(), _LARGEST)  # the least that n fits into
        if size - n > _SPARE:
            size //= 2
        yield size
        n -= size


def _fill(places: Array, x: Array) -> None:
    if places.shape[1:] != x.shape[1:]:  # numpy would repeat what is shorter
        raise ValueError(f"an input must be {places.shape[1:]} in shape, got {x.shape[1:]}")
    places[: len(x)] = x
    places[len(x) :] = x[-1]  # what stood there before, or nothing, would count in a batch's range


def _reason(error: Exception) -> str:
    """Return a message's last line: those before it name lines of OpenVINO's own source."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
