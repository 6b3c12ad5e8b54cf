"""What a run on a GPU costs without the copies: inputs and outputs stay there, by I/O binding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import onnxruntime as ort

from cvae_edge.codec import Array
from cvae_edge.manifest import Artifact
from cvae_edge.runtime.engines.onnxruntime import OnnxGraph

DEVICES = {"cuda": "cuda", "tensorrt": "cuda"}  # provider -> onnxruntime's name of its memory


class _Bound(OnnxGraph):
    def bind(
        self, inputs: Sequence[Mapping[str, Array]], outputs: Sequence[str], device: str
    ) -> Callable[[], list[Array]]:
        """Put the inputs on the device; return what runs them in turn, to the end of the work.

        What that function returns is not copied until it is asked for: an OrtValue an output.
        """
        bindings = cycle([self._binding(values, outputs, device) for values in inputs])

        def run() -> list[Array]:
            binding = next(bindings)
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return binding.get_outputs()  # type: ignore[no-any-return]

        return run

    def _binding(
        self, values: Mapping[str, Array], outputs: Sequence[str], device: str
    ) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, value in values.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, device, 0))
        for name in outputs:
            binding.bind_output(name, device)
        binding.synchronize_inputs()
        return binding


def open_on_device(
    artifact: Artifact,
    content: bytes,
    threads: int,
    provider: str,
    inputs: Sequence[Mapping[str, Array]],
    device: str,
) -> Callable[[], list[ort.OrtValue]]:
    """Open an ONNX file and return what runs it once on the next of ``inputs``, on the device.

    Args:
        artifact: its entry in the manifest.
        content: the file.
        threads: of the host.
        provider: onnxruntime's execution provider, by short name.
        inputs: by tensor name; all are copied to the device at once.
        device: onnxruntime's name of its memory: cuda, cpu.

    Raises:
        BundleError: onnxruntime cannot open the file on that provider.
    """
    outputs = [t.name for t in artifact.outputs]
    return _Bound(artifact, content, threads, provider).bind(inputs, outputs, device)
