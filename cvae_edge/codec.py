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
        """Take x -> mean, logvar and z -> x_logits; what is missing raises BundleError."""
        self.encoder: Graph = encoder or _Missing("encoding needs an encoder, and there is none")
        self.decoder: Graph = decoder or _Missing("decoding needs a decoder, and there is none")

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


class _Missing:
    """In the place of a graph that a bundle does not have."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        raise BundleError(f"{self._message} of the format and precision that was chosen")
