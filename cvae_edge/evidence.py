"""What a model makes of images without drawing anything: what scores and monitors look at."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array, Codec
from cvae_edge.elbo import kl_analytic, squared_error
from cvae_edge.likelihoods import Likelihood
from cvae_edge.sigmoid import sigmoid


class Evidence:
    """Images and their posteriors; their reconstructions are made when they are asked for.

    Nothing is drawn: an image is decoded from its posterior's mean.
    """

    def __init__(self, codec: Codec, x: Array, likelihood: Likelihood) -> None:
        """Encode images x (n, h, w, c) in [0, 1]."""
        self._codec = codec
        self.x, self.likelihood = x, likelihood
        self.mean, self.logvar = codec.encode(x)

    @cached_property
    def x_logits(self) -> Array:
        """What the decoder gives for the means: (n, h, w, c)."""
        return self._codec.decode(self.mean)

    @property
    def residual(self) -> Array:
        """Images less their reconstructions: (n, h, w, c)."""
        residual: Array = self.x - sigmoid(self.x_logits.copy())
        return residual

    @property
    def reconstruction(self) -> NDArray[np.float64]:
        """Log p(x|z) at the posteriors' means, in nats: (n,)."""
        log_px: NDArray[np.float64] = self.likelihood.log_prob(self.x, self.x_logits).astype(
            np.float64
        )
        return log_px

    @property
    def kl(self) -> NDArray[np.float64]:
        """KL(q(z|x) || p(z)) in nats, without noise: (n,).

        A learned prior has no KL in closed form: the one to the standard normal, less
        ``Codec.prior_gain`` at the mean, takes its place, which would be exact if that gain were
        linear in z.
        """
        kl: NDArray[np.float64] = kl_analytic(self.mean, self.logvar).astype(np.float64)
        return kl - self._codec.prior_gain(self.mean)

    def bounds(self, with_error: bool = False) -> dict[str, NDArray[np.float64]]:
        """Return each image's ``elbo_at_mean``, ``reconstruction`` and ``kl``: (n,), float64.

        That is log p(x|z) at the posterior's mean, less the KL. It has no noise, and is mostly
        above the ELBO, which is the mean over all z. ``with_error`` is as in
        ``elbo.image_bounds``.
        """
        reconstruction, kl = self.reconstruction, self.kl
        bounds = {"elbo_at_mean": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
        if with_error:
            bounds["squared_error"] = squared_error(self.x, self.x_logits)
        return bounds
