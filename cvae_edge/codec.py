"""An encoder and a decoder as one: the only place that unpacks what they give."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import BundleError
from cvae_edge.sigmoid import sigmoid

Array = NDArray[np.float32]


class Graph(Protocol):
    """Takes and gives float32 arrays by tensor name, whatever types a file has inside."""

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run on a batch: {"z": (n, latent_dim)} -> {"x_logits": (n, h, w, c)}, say."""


class Codec:
    """Two graphs without randomness, whatever runs them; either may be missing."""

    def __init__(self, encoder: Graph | None = None, decoder: Graph | None = None) -> None:
        self._encoder, self._decoder = encoder, decoder

    @property
    def encoder(self) -> Graph:
        """The graph x -> mean, logvar; BundleError if there is none."""
        if self._encoder is None:
            raise BundleError("encoding needs an encoder, and the bundle has none: it generates")
        return self._encoder

    @property
    def decoder(self) -> Graph:
        """The graph z -> x_logits; BundleError if there is none."""
        if self._decoder is None:
            raise BundleError("decoding needs a decoder, and the bundle has none: it encodes")
        return self._decoder

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Map x (n, h, w, c) to mean and logvar, each (n, latent_dim)."""
        outputs = self.encoder(x=x)
        return outputs["mean"], outputs["logvar"]

    def decode(self, z: Array) -> Array:
        """Map z (n, latent_dim) to x_logits (n, h, w, c)."""
        return self.decoder(z=z)["x_logits"]

    def images(self, z: Array) -> Array:
        """Map z (n, latent_dim) to the sigmoid of x_logits, (n, h, w, c)."""
        return sigmoid(self.decode(z))
