"""The graphs behind a model: one set for single images, one for chunks of large batches."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cvae_edge.bundle import Bundle
from cvae_edge.codec import Array, Codec, Graph
from cvae_edge.errors import BundleError
from cvae_edge.manifest import MANIFEST, MONITOR_FILES, Artifact
from cvae_edge.model_config import ModelShape, require
from cvae_edge.runtime.engines import find_engine, open_session
from cvae_edge.runtime.forking import keep_for_ever, watch
from cvae_edge.runtime.parallel import CHUNK, Workers, available_cores
from cvae_edge.runtime.source import open_bundle

# A provider that threads by itself is given more at once, up to 256 images of 32x32: on a CPU the
# activations of that many are some 100 MB.
_WHOLE, _WHOLE_PIXELS = 256, 256 * 32 * 32
_GENERATING = ("prior", "decoder")  # opened at once; the rest when it is first needed
_PIXELS = 32 * 32  # larger images come in smaller chunks, as their activations are larger


class DeviceCodec(Codec):
    """A bundle's graphs, each opened when it is first called.

    What they give is of the model's shape, and no NaN: a file with a right hash may still be
    another's, and a processor may compute what another does not.
    """

    def __init__(
        self,
        model: ModelShape,
        artifacts: Sequence[Artifact],
        open_artifact: Callable[[Artifact], Graph],
    ) -> None:
        height, width, _ = model.image_shape
        fitting = max(CHUNK, min(_WHOLE, _WHOLE_PIXELS // (height * width)))
        self.whole = 1 << fitting.bit_length() - 1  # images in a run of an engine that threads
        latents = (model.latent_dim,)
        shapes: dict[str, dict[str, tuple[int, ...]]] = {
            "encoder": {"mean": latents, "logvar": latents},
            "decoder": {"x_logits": model.image_shape},
            "prior": {"z": latents},
            "density": {"eps": latents, "log_det": (1,)},
        }
        graphs = {a.role: _Opened(a, open_artifact, shapes[a.role]) for a in artifacts}
        self._graphs = graphs
        super().__init__(**graphs)

    def open(self, role: str) -> None:
        """Open a graph now, so that a file that cannot be run is known at once."""
        self._graphs[role].get()


class _Opened:
    """A graph that is opened when it is first called, once, by whichever thread comes first."""

    def __init__(
        self,
        artifact: Artifact,
        open_artifact: Callable[[Artifact], Graph],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._artifact, self._open, self._shapes = artifact, open_artifact, shapes
        self._lock = threading.Lock()
        self._graph: Graph | None = None
        watch(self)

    def after_fork(self) -> None:
        if self._graph is not None:
            keep_for_ever(self._graph)
        self._graph, self._lock = None, threading.Lock()

    def get(self) -> Graph:
        graph = self._graph
        if graph is None:
            with self._lock:
                graph = self._graph = self._graph or self._open(self._artifact)
        return graph

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        outputs = (self._graph or self.get())(**inputs)
        n = len(next(iter(inputs.values())))
        for name, shape in self._shapes.items():
            value = outputs[name]
            if value.shape != (n, *shape):
                raise BundleError(
                    f"the bundle's model gives {name} of {(n, *shape)}, {self._artifact.file} "
                    f"gave {value.shape}"
                )
            if not math.isfinite(value.sum()):  # NaN or infinity anywhere, in one quick pass
                raise BundleError(
                    f"{self._artifact.file} must give finite numbers, its {name} holds NaN or "
                    "infinity: cvae-edge verify tells whether the file or this device is wrong"
                )
        return outputs


class Codecs:
    """A bundle's graphs, checked and opened.

    Within one run, onnxruntime spreads a convolution over threads, but a transposed convolution
    only in part; so a large batch is faster in chunks, each on one thread. A single image is
    faster with every thread in its one run. Hence two sessions of the same file: ``small``, and
    ``large``, which is opened when the first large batch comes. Other providers than the CPU do
    their own threading, of any batch: theirs is ``small`` alone, in chunks that bound memory.
    """

    def __init__(
        self, bundle: Bundle, artifacts: Sequence[Artifact], threads: int | None, provider: str
    ) -> None:
        """Take one file a role; a role that is missing cannot be called."""
        require(threads is None or threads >= 1, "threads must be at least 1", threads)
        for artifact in artifacts:
            find_engine(artifact.format, provider)
        self.bundle, self.artifacts, self.provider = bundle, artifacts, provider
        self._threads = threads
        model = bundle.manifest.model
        contents = self._contents = {a.file: bundle.read(a) for a in artifacts}
        kept = [name for name in bundle.manifest.files if name.startswith(MONITOR_FILES)]
        self.monitor_files = {name: bundle.read(name) for name in kept}

        def codec(threads: int | None) -> DeviceCodec:
            def open_artifact(artifact: Artifact) -> Graph:
                return open_session(artifact, contents[artifact.file], threads, provider)

            return DeviceCodec(model, artifacts, open_artifact)

        self.small = self.large = codec(threads)
        for artifact in artifacts:
            if artifact.role in _GENERATING:
                self.small.open(artifact.role)
        on_cpu = provider == "cpu"
        self._workers = Workers((threads or available_cores()) if on_cpu else 1)
        if self._workers.threads > 1:
            self.large = codec(1)
        height, width, _ = model.image_shape
        self._share = min(1.0, _PIXELS / (height * width))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the files: sessions and threads belong to a process, and folders to a machine."""
        manifest = json.dumps(self.bundle.manifest.to_dict()).encode()
        files = {MANIFEST: manifest, **self._contents, **self.monitor_files}
        return _open_again, (files, self._threads, self.provider, self.bundle.trust)

    def is_small(self, n: int) -> bool:
        """Whether ``n`` images are run as they are, by ``small``."""
        if self.provider != "cpu":
            return n <= self.small.whole
        return n < self._workers.worthwhile

    def run(
        self, n: int, work: Callable[[DeviceCodec, int, int], None], largest: int = CHUNK
    ) -> None:
        """Call ``work(codec, low, high)`` for chunks that cover 0 to n, in any order and thread.

        On the CPU no chunk has more than ``largest`` images, or as many pixels if they are large.
        """
        if self.provider != "cpu":
            for low in range(0, n, self.small.whole):
                work(self.small, low, min(low + self.small.whole, n))
        elif self.is_small(n):
            work(self.small, 0, n)
        else:
            most = max(1, int(largest * self._share))
            self._workers.for_each_chunk(n, lambda low, high: work(self.large, low, high), most)


def _open_again(files: dict[str, bytes], threads: int | None, provider: str, trust: bool) -> Codecs:
    bundle = open_bundle(files, trust)
    artifacts = [artifact for artifact in bundle.manifest.artifacts if artifact.file in files]
    return Codecs(bundle, artifacts, threads, provider)
