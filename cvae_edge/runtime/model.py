"""A bundle's model on a device: images from seeds, latents from images, scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cvae_edge import noise
from cvae_edge.bundle import Bundle
from cvae_edge.codec import Array, Codec
from cvae_edge.memory import require_memory
from cvae_edge.model_config import require
from cvae_edge.runtime.arguments import as_images, as_latents, integers
from cvae_edge.runtime.choose import choose_files
from cvae_edge.runtime.codecs import Codecs, DeviceCodec
from cvae_edge.runtime.interpolation import Path, interpolate_latents
from cvae_edge.runtime.judge import Judge
from cvae_edge.runtime.posterior import Posterior
from cvae_edge.runtime.source import Source, open_bundle


class EdgeCVAE(Judge):
    """A bundle's encoder, decoder and prior, ready to run; made by ``EdgeCVAE.load``.

    Images are (n, height, width, channels), or (n, height, width) where they are grey, or one image
    without the n; uint8, uint16, or floating point in [0, 1]. They are thresholded at 0.5 if the
    model was trained on binary pixels. Results are float32 arrays of the caller's own.

    One seed gives the same noise, to the bit, for every batch size, number of threads, format and
    precision. It is the latent itself, or what a learned prior makes the latent of; latents of that
    and images differ by what the files' arithmetic does.

    All methods may be called from any number of threads at once.
    """

    @classmethod
    def load(
        cls,
        source: Source | Bundle | None = None,
        *,
        precision: str = "float32",
        format: str = "auto",
        threads: int | None = None,
        provider: str = "cpu",
        prior: str = "auto",
        trust: bool = False,
    ) -> EdgeCVAE:
        """Load a model. Every file's SHA-256 is checked before it is opened.

        The encoder is opened when it is first needed; a device that only generates never pays
        for it.

        Args:
            source: the bundle's folder; a .zip of it, as a path or as bytes; a mapping from file
                names to bytes; or None for export/mnist in the working folder and, without one,
                the bundle that ships with the package.
            precision: float32, float16, dynamic_range or int8; or auto, the fastest on this
                machine that loses at most ``elbo.loss_budget`` nats by the manifest. The first load
                measures that, and keeps it; see ``runtime.measured``.
            format: onnx, tflite; or auto, the first of them that the bundle has and whose engine
                is installed.
            threads: how many to use, at least 1; None takes all cores. 1 starts no thread at all.
            provider: what the files run on, by short name: onnxruntime's cpu, cuda, tensorrt,
                coreml, directml or xnnpack; or openvino.
            prior: where latents come from: flow (learned), standard (normal); or auto, flow where
                the bundle has one. Scores take its log p(z), interpolations its paths.
            trust: run files whose operators or sizes may do harm; see ``guard.check_graph``.

        Raises:
            BundleError: the bundle is missing, damaged, of an unknown version, or lacks the file;
                or a file may do harm.
            ConfigError: an argument is out of range, or the provider is not here.
            DependencyError: the format's runtime is not installed.
        """
        bundle = source if isinstance(source, Bundle) else open_bundle(source, trust)
        files = choose_files(bundle, format, precision, threads, provider, prior)
        return cls(Codecs(bundle, files, threads, provider))

    def __reduce__(self) -> tuple[type[EdgeCVAE], tuple[Codecs]]:
        return type(self), (self._codecs,)

    def __repr__(self) -> str:
        files = ", ".join(artifact.file for artifact in self._codecs.artifacts)
        return f"EdgeCVAE({self.manifest.name}: {files}, {self._codecs.provider})"

    def generate(self, n: int = 1, seed: int = 0, start: int = 0) -> Array:
        """Draw images from the prior.

        Args:
            n: how many, at least 1.
            seed: the stream, 0 to 2^64 - 1.
            start: index of the first image in the stream: ``generate(64, seed, start=64)`` goes on
                where ``generate(64, seed)`` ended.

        Returns:
            Probabilities, (n, height, width, channels).

        Raises:
            ConfigError: an argument is out of range, or the images do not fit into memory.
        """
        n, seed, start = integers(n=n, seed=seed, start=start)
        if self._codecs.is_small(n):  # spares a tenth of one image's time
            codec = self._codecs.small
            eps = noise.standard_normal(n, self.latent_dim, seed, start)
            return codec.images(codec.draw(eps))
        out = self._images(n)

        def work(codec: DeviceCodec, low: int, high: int) -> None:
            eps = noise.standard_normal(high - low, self.latent_dim, seed, start + low)
            out[low:high] = codec.images(codec.draw(eps))

        self._codecs.run(n, work)
        return out

    def stream(
        self, n: int, seed: int = 0, batch_size: int = 256, start: int = 0
    ) -> Iterator[Array]:
        """Yield what ``generate(n, seed, start)`` returns, ``batch_size`` images at a time.

        Memory does not grow with ``n``.

        Raises:
            ConfigError: an argument is out of range; at once, not at the first batch.
        """
        n, batch_size, start = integers(n=n, batch_size=batch_size, start=start)
        require(n >= 1, "n must be at least 1", n)
        require(batch_size >= 1, "batch_size must be at least 1", batch_size)
        ends = range(start, start + n, batch_size)
        return (self.generate(min(batch_size, start + n - low), seed, low) for low in ends)

    def encode(self, x: Any) -> Posterior:
        """Return the posteriors of images, ``Posterior(mean, logvar)``, each (n, latent_dim).

        Raises:
            DataError: ``x`` is not what the model takes; the class says what that is.
        """
        x = as_images(x, self.image_shape)
        mean, logvar = (np.empty((len(x), self.latent_dim), np.float32) for _ in range(2))

        def work(codec: DeviceCodec, low: int, high: int) -> None:
            mean[low:high], logvar[low:high] = codec.encode(self._preprocess(x[low:high]))

        self._codecs.run(len(x), work)
        return Posterior(mean, logvar)

    def decode(self, z: Any) -> Array:
        """Return the images of latents z (n, latent_dim): (n, height, width, channels).

        Raises:
            DataError: ``z`` has another shape or type, or is not finite.
        """
        z = as_latents(z, self.latent_dim)
        out = self._images(len(z))

        def work(codec: DeviceCodec, low: int, high: int) -> None:
            out[low:high] = codec.images(z[low:high])

        self._codecs.run(len(z), work)
        return out

    def reconstruct(self, x: Any, seed: int = 0, sample: bool = True, start: int = 0) -> Array:
        """Encode images and decode them again: (n, height, width, channels).

        Args:
            x: the images.
            seed: of the noise in z; image i takes that of image ``start`` + i in the stream.
            sample: draw z from the posterior; otherwise take its mean.
            start: index of the first image in the stream, where they come some at a time.

        Raises:
            DataError, ConfigError: as in ``encode`` and ``generate``.
        """
        x = as_images(x, self.image_shape)
        seed, start = integers(seed=seed, start=start)
        out = self._images(len(x))

        def work(codec: DeviceCodec, low: int, high: int) -> None:
            posterior = Posterior(*codec.encode(self._preprocess(x[low:high])))
            z = posterior.sample(seed, start + low) if sample else posterior.mean
            out[low:high] = codec.images(z)

        self._codecs.run(len(x), work)
        return out

    def interpolate(self, x_a: Any, x_b: Any, steps: int = 9, path: Path = "spherical") -> Array:
        """Decode ``steps`` latents on the way between the posterior means of x_a and x_b.

        The way lies in the normal noise that the prior makes latents of.

        Args:
            x_a: n images.
            x_b: as many.
            steps: both ends included, at least 2.
            path: spherical or linear; see ``interpolate_latents``.

        Returns:
            (n, steps, height, width, channels).

        Raises:
            DataError, ConfigError: as in ``encode`` and ``interpolate_latents``.
        """
        (steps,) = integers(steps=steps)
        a, b = (self._map(Codec.normal, self.encode(x).mean) for x in (x_a, x_b))
        eps = interpolate_latents(a, b, steps, path).reshape(-1, self.latent_dim)
        images = self.decode(self._map(Codec.draw, eps))
        return images.reshape(-1, steps, *self.image_shape)

    def _map(self, step: Callable[[Codec, Array], Array], latents: Array) -> Array:
        """Return what a step of a codec makes of (n, latent_dim), of the same shape."""
        out = np.empty_like(latents)

        def work(codec: DeviceCodec, low: int, high: int) -> None:
            out[low:high] = step(codec, latents[low:high])

        self._codecs.run(len(latents), work)
        return out

    def _images(self, n: int) -> Array:
        """Return memory for ``n`` images."""
        require(n >= 1, "the number of images must be at least 1", n)
        require_memory(4 * n * math.prod(self.image_shape), f"{n} images")
        return np.empty((n, *self.image_shape), np.float32)
