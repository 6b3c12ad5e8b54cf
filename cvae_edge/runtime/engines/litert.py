"""TFLite files in LiteRT."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from cvae_edge.codec import Array
from cvae_edge.errors import BundleError
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.parallel import available_cores

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    # LiteRT's name before 2024
    from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found, no-redef, unused-ignore]


class LiteRTGraph:
    """A TFLite file; see ``Graph``.

    Integer inputs and outputs are scaled as the file says. An interpreter serves one call at a
    time; so calls from several threads share as many interpreters as keep the cores busy.

    LiteRT trusts a file's inner structure: one that was made to harm may end the process, where
    ``guard`` does not see through it.
    """

    def __init__(
        self, artifact: Artifact, content: bytes, threads: int | None = None, provider: str = ""
    ) -> None:
        self._artifact, self._content = artifact, content
        self._threads = threads or available_cores()
        self._limit = threading.Semaphore(max(1, available_cores() // self._threads))
        self._free = [self._open()]  # the last used comes first: its tensors are in the cache

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run the graph on a batch; an interpreter is resized when the batch's size changes."""
        with self._limit:
            try:
                interpreter = self._free.pop()
            except IndexError:  # all that were opened are running, and one more may
                interpreter = self._open()
            try:
                return interpreter.run(inputs)
            except Exception as error:  # its wrapper of C++ raises TypeError, too, for a bad file
                raise BundleError(
                    f"{self._artifact.file} cannot be run by LiteRT: {error}"
                ) from error
            finally:
                self._free.append(interpreter)

    def _open(self) -> _Interpreter:
        try:
            return _Interpreter(self._artifact, self._content, self._threads)
        except BundleError:
            raise
        except Exception as error:  # as above
            raise BundleError(
                f"{self._artifact.file} cannot be opened by LiteRT: {error}"
            ) from error


open_session = LiteRTGraph  # see ``Engine``


class _Interpreter:
    def __init__(self, artifact: Artifact, content: bytes, threads: int) -> None:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        signature = next(iter(interpreter.get_signature_list().values()))
        expected = {
            "inputs": {t.name for t in artifact.inputs},
            "outputs": {t.name for t in artifact.outputs},
        }
        got = {kind: set(names) for kind, names in signature.items()}
        if got != expected:
            raise BundleError(f"{artifact.file} must have the signature {expected}, got {got}")
        interpreter.allocate_tensors()  # now, so that the first call does not wait for it
        self._runner = interpreter.get_signature_runner()
        self._inputs = self._runner.get_input_details()
        self._outputs = self._runner.get_output_details()

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        integers = {name: quantize(x, self._inputs[name]) for name, x in inputs.items()}
        outputs = self._runner(**integers)
        return {name: dequantize(y, self._outputs[name]) for name, y in outputs.items()}


def quantize(x: Array, details: dict[str, Any]) -> Any:
    """Return ``x`` in the type of a tensor that LiteRT describes, rounded and clipped."""
    dtype = details["dtype"]
    if np.issubdtype(dtype, np.floating):
        return x.astype(dtype, copy=False)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.rint(x / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(y: Any, details: dict[str, Any]) -> Array:
    """Return the float32 values of a tensor that LiteRT describes."""
    if np.issubdtype(details["dtype"], np.floating):
        return y.astype(np.float32)  # type: ignore[no-any-return]
    scale, zero_point = details["quantization"]
    real: Array = np.float32(scale) * (y.astype(np.float32) - np.float32(zero_point))
    return real
