"""What a model makes of images, for scores to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array, Codec
from cvae_edge.elbo import kl_at_mean
from cvae_edge.likelihoods import Likelihood
from cvae_edge.sigmoid import sigmoid


class Evidence:
    """Images and their posteriors; their reconstructions are made when they are asked for.

    Nothing is drawn: an image is decoded from its posterior's mean.
    """

    def __init__(self, codec: Codec, x: Array, likelihood: Likelihood) -> None:
        """Encode images x (n, h, w, c) in [0, 1]."""
        self._codec = codec
        self._decoded: Array | None = None
        self.x, self.likelihood = x, likelihood
        self.mean, self.logvar = codec.encode(x)

    @property
    def x_logits(self) -> Array:
        """What the decoder gives for the means: (n, h, w, c)."""
        if self._decoded is None:
            self._decoded = self._codec.decode(self.mean)
        return self._decoded

    @property
    def kl(self) -> NDArray[np.float64]:
        """KL of the posteriors to the model's prior: (n,); see ``elbo.kl_at_mean``."""
        return kl_at_mean(self._codec, self.mean, self.logvar)

    @property
    def residual(self) -> Array:
        """Images less their reconstructions: (n, h, w, c)."""
        residual: Array = self.x - sigmoid(self.x_logits.copy())
        return residual
