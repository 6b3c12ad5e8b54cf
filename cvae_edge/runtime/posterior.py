"""What an encoder says of images: one normal distribution over latents each."""

from __future__ import annotations

from typing import NamedTuple

from cvae_edge import noise
from cvae_edge.elbo import Array, kl_analytic, reparameterize


class Posterior(NamedTuple):
    """q(z|x) = N(mean, exp(logvar)), diagonal, one row an image; unpacks as ``mean, logvar``."""

    mean: Array  # (n, latent_dim)
    logvar: Array  # (n, latent_dim)

    def sample(self, seed: int = 0, start: int = 0) -> Array:
        """Draw one z of each image, (n, latent_dim).

        Args:
            seed: stream of the noise.
            start: index of the first image in that stream.

        Raises:
            ConfigError: seed or start are out of range.
        """
        n, latent_dim = self.mean.shape
        eps = noise.standard_normal(n, latent_dim, seed, start)
        return reparameterize(self.mean, self.logvar, eps)

    def kl(self) -> Array:
        """Return KL(q(z|x) || N(0, I)) in nats, (n,), whatever the bundle's prior is."""
        return kl_analytic(self.mean, self.logvar)
