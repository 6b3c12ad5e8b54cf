"""TFLite files in LiteRT."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from cvae_edge.bundle import Artifact
from cvae_edge.elbo import Array
from cvae_edge.errors import BundleError, DependencyError

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError as error:
    raise DependencyError(
        "TFLite files need LiteRT, which is not installed: pip install 'cvae-edge[litert]'"
    ) from error


class LiteRTGraph:
    """A TFLite file; see ``Graph``.

    Integer inputs and outputs are scaled as the file says. An interpreter serves one call at a
    time, so calls from several threads wait for each other.
    """

    def __init__(self, artifact: Artifact, content: bytes, threads: int | None = None) -> None:
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._signature = next(iter(self._interpreter.get_signature_list().values()))
        except (ValueError, RuntimeError, StopIteration) as error:
            raise BundleError(f"{artifact.file} cannot be opened by LiteRT: {error}") from error
        expected = {
            "inputs": {t.name for t in artifact.inputs},
            "outputs": {t.name for t in artifact.outputs},
        }
        got = {kind: set(names) for kind, names in self._signature.items()}
        if got != expected:
            raise BundleError(f"{artifact.file} must have the signature {expected}, got {got}")
        self._runner = self._interpreter.get_signature_runner()
        self._inputs = self._runner.get_input_details()
        self._outputs = self._runner.get_output_details()
        self._lock = threading.Lock()

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run the graph on a batch; the interpreter is resized when the batch's size changes."""
        integers = {name: _quantize(x, self._inputs[name]) for name, x in inputs.items()}
        with self._lock:
            outputs = self._runner(**integers)
            return {name: _dequantize(y, self._outputs[name]) for name, y in outputs.items()}


def _quantize(x: Array, details: dict[str, Any]) -> Any:
    dtype = details["dtype"]
    if np.issubdtype(dtype, np.floating):
        return x.astype(dtype, copy=False)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.rint(x / scale) + zero_point, limits.min, limits.max).astype(dtype)


def _dequantize(y: Any, details: dict[str, Any]) -> Array:
    if np.issubdtype(details["dtype"], np.floating):
        return y.astype(np.float32)  # type: ignore[no-any-return]
    scale, zero_point = details["quantization"]
    real: Array = np.float32(scale) * (y.astype(np.float32) - np.float32(zero_point))
    return real
