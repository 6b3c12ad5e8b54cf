"""How likely a bundle's model finds images, and whether they are anomalous."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array, Codec
from cvae_edge.elbo import image_bounds, score_of
from cvae_edge.evidence import Evidence
from cvae_edge.manifest import Manifest
from cvae_edge.model_config import require
from cvae_edge.preprocess import prepare
from cvae_edge.runtime.arguments import as_images, integers
from cvae_edge.runtime.codecs import Codecs, DeviceCodec

if TYPE_CHECKING:
    from cvae_edge.monitor.monitor import Monitor

# Images in a chunk that is scored: numpy's calls between two runs weigh half as much as with the 32
# that are decoded at a time, for 11 MB more a thread.
_SCORED = 64


class Judge:
    """Opened files of a bundle, and what they say of images; see ``EdgeCVAE`` for images."""

    def __init__(self, codecs: Codecs) -> None:
        self.manifest: Manifest = codecs.bundle.manifest
        self.image_shape, self.latent_dim = self.manifest.model
        self._codecs = codecs
        self._preprocess = partial(prepare, binarize=self.manifest.pixels.binarize)

    def score(self, x: Any, samples: int = 0, seed: int = 0) -> NDArray[np.float64]:
        """Return how likely the model finds each image, in nats, (n,): low is unlike its training.

        That is the ELBO at the posterior's mean, which has no noise; or, for ``samples`` of at
        least 1, the IWAE bound. Either depends on the image alone, not on its place among others.

        Raises:
            DataError, ConfigError: as in ``encode``; or ``samples`` is below 0.
            BundleError: the likelihood is one that a later version brought, or a file gives NaN.
        """
        return score_of(self.bounds(x, samples, seed))

    def bounds(self, x: Any, samples: int = 0, seed: int = 0) -> dict[str, NDArray[np.float64]]:
        """Return each image's bounds, with squared_error unless pixels are binary.

        See ``Evidence.bounds`` and, for ``samples`` of at least 1, ``elbo.image_bounds``; every
        image has the same noise.

        Raises:
            DataError, ConfigError, BundleError: as in ``score``.
        """
        samples, seed = integers(samples=samples, seed=seed)
        require(samples >= 0, "samples must be 0 or more", samples)
        likelihood = self.manifest.likelihood
        with_error = self.manifest.pixels.binarize == "none"

        def bounds(codec: Codec, x: Array) -> dict[str, NDArray[np.float64]]:
            if samples:
                return image_bounds(codec, x, likelihood, samples, seed, None, with_error)
            return Evidence(codec, x, likelihood).bounds(with_error)

        return self.measure(x, bounds)

    def measure(
        self, x: Any, of_chunk: Callable[[Codec, Array], Mapping[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Return what ``of_chunk`` gives for all images, of which it gets some at a time.

        Args:
            x: the images.
            of_chunk: takes the encoder and decoder, and images as these do, (n, h, w, c); gives
                arrays (n, ...) by name. It is called from several threads.

        Raises:
            DataError: as in ``encode``.
        """
        x = as_images(x, self.image_shape)
        parts: dict[int, Mapping[str, NDArray[Any]]] = {}  # by the first of their images

        def work(codec: DeviceCodec, low: int, high: int) -> None:
            parts[low] = of_chunk(codec, self._preprocess(x[low:high]))

        self._codecs.run(len(x), work, largest=_SCORED)
        ordered = [part for _, part in sorted(parts.items())]
        return {name: np.concatenate([part[name] for part in ordered]) for name in ordered[0]}

    @cached_property
    def monitor(self) -> Monitor:
        """What tells anomalous images from good ones, as ``cvae-edge monitor`` fitted it.

        Raises:
            BundleError: the bundle has none for the files that run, or it is damaged.
        """
        from cvae_edge.monitor.files import load_monitor  # a device without one spares it

        codecs = self._codecs
        return load_monitor(self, codecs.artifacts, codecs.monitor_files, codecs.bundle.source)
