"""The graphs behind a model: one pair for single images, one for chunks of large batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from cvae_edge.bundle import Bundle
from cvae_edge.elbo import Array
from cvae_edge.errors import BundleError
from cvae_edge.manifest import Artifact
from cvae_edge.model_config import ModelConfig, require
from cvae_edge.runtime.graph import Decoder, Graph, open_decoder, open_graph
from cvae_edge.runtime.parallel import CHUNK, Workers, available_cores

T = TypeVar("T")
# A provider that threads by itself is given more at once, up to 256 images of 32x32: on a CPU the
# activations of that many are some 100 MB.
_WHOLE, _WHOLE_PIXELS = 256, 256 * 32 * 32
_PIXELS = 32 * 32  # larger images come in smaller chunks, as their activations are larger


class DeviceCodec:
    """A bundle's encoder and decoder, each opened when it is first called; a ``Codec``."""

    def __init__(
        self,
        model: ModelConfig,
        open_encoder: Callable[[], Graph],
        open_decoder: Callable[[], Decoder],
    ) -> None:
        height, width, _ = model.image_shape
        fitting = max(CHUNK, min(_WHOLE, _WHOLE_PIXELS // (height * width)))
        self.whole = 1 << fitting.bit_length() - 1  # images in a run of a provider that threads
        self._model = model
        self._encoder, self._decoder = _Once(open_encoder), _Once(open_decoder)

    def open_decoder(self) -> None:
        """Open the decoder now, so that a file that cannot be run is known at once."""
        self._decoder.get()

    def open_encoder(self) -> None:
        """Open the encoder now."""
        self._encoder.get()

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Map x (n, h, w, c) to mean and logvar, each (n, latent_dim)."""
        outputs = self._encoder.get()(x=x)
        shape = len(x), self._model.latent_dim
        return _of_shape(outputs["mean"], shape), _of_shape(outputs["logvar"], shape)

    def decode(self, z: Array) -> Array:
        """Map z (n, latent_dim) to x_logits (n, h, w, c)."""
        x_logits = self._decoder.get()(z=z)["x_logits"]
        return _of_shape(x_logits, (len(z), *self._model.image_shape))

    def images(self, z: Array) -> Array:
        """Map z (n, latent_dim) to probabilities (n, h, w, c)."""
        x_recon = self._decoder.get().images(z)
        return _of_shape(x_recon, (len(z), *self._model.image_shape))


def _of_shape(output: Array, shape: tuple[int, ...]) -> Array:
    """Return ``output``, or raise BundleError: a file with a right hash may still be another's."""
    if output.shape != shape:
        raise BundleError(f"the bundle's model gives {shape}, its file gave {output.shape}")
    return output


class _Once(Generic[T]):
    """A value that is made when it is first asked for, once, by whichever thread comes first."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: T | None = None

    def get(self) -> T:
        value = self._value
        if value is None:
            with self._lock:
                value = self._value = self._value or self._make()
        return value


class Codecs:
    """A bundle's encoder and decoder, checked and opened.

    Within one run, onnxruntime spreads a convolution over threads, but a transposed convolution
    only in part; so a large batch is faster in chunks, each on one thread. A single image is
    faster with every thread in its one run. Hence two sessions of the same file: ``small``, and
    ``large``, which is opened when the first large batch comes. Other providers than the CPU do
    their own threading, of any batch: theirs is ``small`` alone, in chunks that bound memory.
    """

    def __init__(
        self, bundle: Bundle, artifacts: Sequence[Artifact], threads: int | None, provider: str
    ) -> None:
        """Take an encoder, a decoder or both; what is missing cannot be called."""
        require(threads is None or threads >= 1, "threads must be at least 1", threads)
        formats = {artifact.format for artifact in artifacts}
        require(
            formats == {"onnx"} or provider == "cpu",
            "LiteRT runs on the provider cpu alone",
            provider,
        )
        self.provider, self.artifacts = provider, artifacts
        model = bundle.manifest.model
        contents = {artifact.role: (artifact, bundle.read(artifact)) for artifact in artifacts}

        def codec(threads: int | None) -> DeviceCodec:
            return DeviceCodec(
                model,
                lambda: open_graph(*contents["encoder"], threads, provider),
                lambda: open_decoder(*contents["decoder"], threads, provider),
            )

        self.small = self.large = codec(threads)
        if "decoder" in contents:
            self.small.open_decoder()
        on_cpu = provider == "cpu"
        self._workers = Workers((threads or available_cores()) if on_cpu else 1)
        if self._workers.threads > 1:
            self.large = codec(1)
        height, width, _ = model.image_shape
        self._share = min(1.0, _PIXELS / (height * width))

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
