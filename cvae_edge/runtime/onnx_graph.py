"""ONNX files in onnxruntime."""

from __future__ import annotations

import onnxruntime as ort

from cvae_edge.bundle import Artifact
from cvae_edge.elbo import Array
from cvae_edge.errors import BundleError, ConfigError

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxGraph:
    """An ONNX file; see ``Graph``. Inputs and outputs are float32 in every precision."""

    def __init__(
        self, artifact: Artifact, content: bytes, threads: int | None = None, provider: str = "cpu"
    ) -> None:
        name = _PROVIDERS.get(provider)
        if name not in ort.get_available_providers():
            raise ConfigError(f"provider {provider!r} is not available here")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors; they are raised as well
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(content, options, providers=[name])
        except Exception as error:  # onnxruntime's own errors share no base class
            raise BundleError(
                f"{artifact.file} cannot be opened by onnxruntime: {error}"
            ) from error
        self._outputs = [tensor.name for tensor in artifact.outputs]
        inputs = {tensor.name for tensor in self._session.get_inputs()}
        outputs = {tensor.name for tensor in self._session.get_outputs()}
        expected = ({t.name for t in artifact.inputs}, set(self._outputs))
        if (inputs, outputs) != expected:
            raise BundleError(
                f"{artifact.file} must have the inputs and outputs {expected}, "
                f"got {inputs, outputs}"
            )

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run the graph on a batch of any size."""
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
