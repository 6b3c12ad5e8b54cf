"""ONNX files in onnxruntime."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

from cvae_edge.codec import Array
from cvae_edge.errors import BundleError, ConfigError
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.parallel import available_cores

PROVIDERS = {  # by short name
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
_INSTALL = {
    "cuda": "pip install onnxruntime-gpu in place of onnxruntime",
    "tensorrt": "pip install onnxruntime-gpu in place of onnxruntime, and TensorRT",
    "directml": "pip install onnxruntime-directml in place of onnxruntime",
}
_ERRORS_ONLY = 3  # log severity; errors are raised as well
_SPIN_MICROSECONDS = 1000


def provider_name(short: str) -> str:
    """Return onnxruntime's name of the provider ``short``.

    Raises:
        ConfigError: this onnxruntime was built without it.
    """
    built = ort.get_available_providers()
    if PROVIDERS[short] not in built:
        here = [name for name, long in PROVIDERS.items() if long in built]
        how = f"; {_INSTALL[short]}" if short in _INSTALL else ""
        raise ConfigError(
            f"provider must be one that is here ({', '.join(here)}), got {short!r}{how}"
        )
    return PROVIDERS[short]


class OnnxGraph:
    """An ONNX file; see ``Graph``. Inputs and outputs are float32 in every precision.

    Any number of threads may call it at once.
    """

    def __init__(
        self,
        artifact: Artifact,
        content: bytes,
        threads: int | None = None,
        provider: str = "cpu",
    ) -> None:
        name = provider_name(provider)
        options = _options(threads or available_cores())
        try:
            # With its fallback it prints to standard output, and tries the CPU.
            self._session = ort.InferenceSession(
                content, options, providers=[name], enable_fallback=False
            )
        except Exception as error:  # onnxruntime's own errors share no base class
            raise BundleError(
                f"{artifact.file} cannot be opened by onnxruntime: {error}"
            ) from error
        _check_provider(self._session, provider, artifact.file)
        self._file = artifact.file
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
        try:
            values: list[Array] = self._session.run(self._outputs, inputs)
        except Exception as error:  # as above
            raise BundleError(f"{self._file} cannot be run by onnxruntime: {error}") from error
        return dict(zip(self._outputs, values, strict=True))


open_session = OnnxGraph  # see ``Engine``


def _check_provider(session: Any, short: str, file: str) -> None:
    """Raise unless ``session`` runs on the provider that was asked for.

    onnxruntime prints a line and goes on with the CPU where a provider's libraries or device are
    missing; a benchmark, or a person who waits, would never know.

    Raises:
        BundleError: it fell back to another.
    """
    got = session.get_providers()
    if got[:1] != [PROVIDERS[short]]:
        raise BundleError(
            f"{file} must run on {short}, but onnxruntime could not start it and fell back to "
            f"{', '.join(got) or 'nothing'}: install its driver and libraries, or choose cpu"
        )


def _options(threads: int) -> ort.SessionOptions:
    """Set what matters, each for a reason; the figures are of one image on two cores."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Fusions, constant folding, and blocked layouts for plain convolutions: all that there is.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # The graphs are chains: no two nodes could ever run at once.
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    # A number, because onnxruntime's default counts the machine's cores, not a container's.
    options.intra_op_num_threads = threads
    # Idle workers spin, so that the next node finds them awake; without that, two threads are no
    # better than one. By default they go on for over 20 ms after a run, a core at full power for
    # each image; 1 ms bridges the nodes and a caller's Python, and is as fast. Releases before 1.26
    # do not know this entry, and pass it over.
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    # The arena keeps what it took (microsoft/onnxruntime#11627). Chunks bound that, and without it
    # the C library's own heaps take more, and 256 images a quarter more time.
    options.enable_cpu_mem_arena = True
    return options
