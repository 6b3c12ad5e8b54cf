"""An encoder, a decoder and optionally a prior as one; nothing else reads their outputs."""

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
    """Graphs without randomness, whatever runs them; any may be missing.

    The prior is the standard normal, z = eps, unless there is a graph of it. It then has two, each
    the inverse of the other.
    """

    def __init__(
        self,
        encoder: Graph | None = None,
        decoder: Graph | None = None,
        prior: Graph | None = None,
        density: Graph | None = None,
    ) -> None:
        """Take x -> mean, logvar; z -> x_logits; eps -> z; z -> eps, log_det.

        What is missing raises BundleError when it is needed.
        """
        self.encoder: Graph = encoder or _Missing("encoding needs an encoder, and there is none")
        self.decoder: Graph = decoder or _Missing("decoding needs a decoder, and there is none")
        self.prior = prior
        if density is None and prior is not None:
            density = _Missing("log p(z) needs the prior's density, and there is none")
        self.density = density

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Map x (n, h, w, c) to mean and logvar, each (n, latent_dim)."""
        outputs = self.encoder(x=x)
        return outputs["mean"], outputs["logvar"]

    def decode(self, z: Array) -> Array:
        """Map z (n, latent_dim) to x_logits (n, h, w, c)."""
        return self.decoder(z=z)["x_logits"]

    def draw(self, eps: Array) -> Array:
        """Map standard normal eps (n, latent_dim) to draws z of the prior, (n, latent_dim)."""
        return eps if self.prior is None else self.prior(eps=eps)["z"]

    def normal(self, z: Array) -> Array:
        """Map z (n, latent_dim) to the eps that ``draw`` makes it of, (n, latent_dim)."""
        return z if self.density is None else self.density(z=z)["eps"]

    def prior_gain(self, z: Array) -> Array:
        """Return log p(z) less that of the standard normal, (n,); 0 where that is the prior.

        ``log p(z) = log N(eps; 0, I) + log |det d eps / d z|`` (Rezende and Mohamed 2015,
        equation 5).
        """
        if self.density is None:
            return np.zeros(len(z), np.float32)
        outputs = self.density(z=z)
        eps, log_det = outputs["eps"], outputs["log_det"]
        gain: Array = np.float32(0.5) * (z * z - eps * eps).sum(axis=1) + log_det[:, 0]
        return gain

    def images(self, z: Array) -> Array:
        """Map z (n, latent_dim) to the sigmoid of x_logits, (n, h, w, c)."""
        return sigmoid(self.decode(z))


class _Missing:
    """In the place of a graph that a bundle does not have."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        raise BundleError(f"{self._message} of the format and precision that was chosen")
