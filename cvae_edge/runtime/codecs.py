"""The graphs behind a model: one pair for single images, one for chunks of large batches."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cvae_edge.bundle import Artifact, Bundle
from cvae_edge.config import require
from cvae_edge.elbo import Array
from cvae_edge.runtime.choose import choose_artifact, choose_format
from cvae_edge.runtime.graph import Graph, GraphCodec, open_graph
from cvae_edge.runtime.parallel import Workers, available_cores


class LazyGraph:
    """A graph that is opened when it is first called; see ``Graph``."""

    def __init__(self, open: Callable[[], Graph]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._graph: Graph | None = None

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run the graph, after opening it if this is the first call."""
        graph = self._graph
        if graph is None:
            with self._lock:
                graph = self._graph = self._graph or self._open()
        return graph(**inputs)


class Codecs:
    """A bundle's encoder and decoder, chosen, checked and opened.

    Within one run, onnxruntime spreads a convolution over threads, but a transposed convolution
    only in part; so a large batch is faster in chunks, each on one thread. A single image is
    faster with every thread in its one run. Hence two sessions of the same file: ``small``, and
    ``large``, which is opened when the first large batch comes.
    """

    def __init__(
        self, bundle: Bundle, format: str, precision: str, threads: int | None, provider: str
    ) -> None:
        require(threads is None or threads >= 1, "threads must be at least 1", threads)
        manifest = bundle.manifest
        format = choose_format(manifest, format)
        require(
            format == "onnx" or provider == "cpu", "LiteRT runs on the provider cpu alone", provider
        )
        self.provider = provider
        self.encoder = choose_artifact(manifest, "encoder", format, precision)
        self.decoder = choose_artifact(manifest, "decoder", format, precision)
        contents = {a.file: bundle.read(a) for a in (self.encoder, self.decoder)}

        def graph(artifact: Artifact, threads: int | None) -> Graph:
            return open_graph(artifact, contents[artifact.file], threads, provider)

        def lazy(artifact: Artifact, threads: int | None) -> Graph:
            return LazyGraph(lambda: graph(artifact, threads))

        self.small = GraphCodec(lazy(self.encoder, threads), graph(self.decoder, threads))
        on_cpu = provider == "cpu"
        self.workers = Workers((threads or available_cores()) if on_cpu else 1)
        self.large = self.small
        if self.workers.threads > 1:
            self.large = GraphCodec(lazy(self.encoder, 1), lazy(self.decoder, 1))

    def run(self, n: int, work: Callable[[GraphCodec, int, int], None]) -> None:
        """Call ``work(codec, low, high)`` for chunks that cover 0 to n, in any order and thread."""
        if n < self.workers.worthwhile:
            work(self.small, 0, n)
        else:
            self.workers.for_each_chunk(n, lambda low, high: work(self.large, low, high))
