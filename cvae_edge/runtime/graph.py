"""One exported file, opened in its own runtime, as a function of named float32 arrays."""

from __future__ import annotations

from typing import Protocol

from cvae_edge.elbo import Array
from cvae_edge.manifest import Artifact


class Graph(Protocol):
    """Takes and gives float32 arrays by tensor name, whatever types the file has inside."""

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run the graph on a batch: {"z": (n, latent_dim)} -> {"x_logits": (n, h, w, c)}, say."""


class Decoder(Graph, Protocol):
    """A decoder's graph, which gives images too."""

    def images(self, z: Array) -> Array:
        """Map z (n, latent_dim) to the sigmoid of x_logits: probabilities (n, h, w, c)."""


def open_graph(
    artifact: Artifact, content: bytes, threads: int | None = None, provider: str = "cpu"
) -> Graph:
    """Open an artifact from its bytes.

    Args:
        artifact: its entry in the manifest.
        content: the file, as ``Bundle.read`` returns it.
        threads: how many the runtime may use; None leaves it the choice.
        provider: what an ONNX file runs on: one of onnxruntime's execution providers, by short
            name, or openvino.

    Raises:
        ConfigError: the provider is unknown or not here.
        DependencyError: the format's runtime is not installed.
        BundleError: the runtime cannot open the file, or its tensors are not the manifest's.
    """
    if artifact.format == "onnx" and provider == "openvino":
        from cvae_edge.runtime.openvino_graph import OpenVINOGraph

        return OpenVINOGraph(artifact, content, threads)
    if artifact.format == "onnx":
        from cvae_edge.runtime.onnx_graph import OnnxGraph

        return OnnxGraph(artifact, content, threads, provider)
    from cvae_edge.runtime.litert_graph import LiteRTGraph

    return LiteRTGraph(artifact, content, threads)


def open_decoder(
    artifact: Artifact, content: bytes, threads: int | None = None, provider: str = "cpu"
) -> Decoder:
    """Open a decoder so that it gives images; see ``open_graph``."""
    if artifact.format == "onnx" and provider == "openvino":
        from cvae_edge.runtime.openvino_graph import OpenVINODecoder

        return OpenVINODecoder(artifact, content, threads)
    if artifact.format == "onnx":
        from cvae_edge.runtime.onnx_graph import OnnxDecoder

        return OnnxDecoder(artifact, content, threads, provider)
    from cvae_edge.runtime.litert_graph import LiteRTDecoder

    return LiteRTDecoder(artifact, content, threads)


class GraphCodec:
    """An encoder's and a decoder's graph as one codec; see ``cvae_edge.elbo.Codec``."""

    def __init__(self, encoder: Graph, decoder: Graph) -> None:
        self._encoder, self._decoder = encoder, decoder

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Map x (n, h, w, c) to mean and logvar, each (n, latent_dim)."""
        outputs = self._encoder(x=x)
        return outputs["mean"], outputs["logvar"]

    def decode(self, z: Array) -> Array:
        """Map z (n, latent_dim) to x_logits (n, h, w, c)."""
        return self._decoder(z=z)["x_logits"]
