"""One number an image: high is unlike the training data. Each from (n, ...) evidence to (n,)."""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.evidence import Evidence
from cvae_edge.monitor.blur import blur

Values = NDArray[np.float64]
_SMALLEST_ENERGY = 1e-3  # of a whole image: a black one has none


def negative_elbo(evidence: Evidence) -> Values:
    """Return KL - log p(x|z) at the posterior's mean, in nats."""
    return negative_likelihood(evidence) + kl(evidence)


def negative_likelihood(evidence: Evidence) -> Values:
    """Return -log p(x|z) at the posterior's mean, in nats: the ELBO's first part."""
    return -evidence.reconstruction


def kl(evidence: Evidence) -> Values:
    """Return KL(q(z|x) || p(z)) in nats: the ELBO's second part, which no decoder is needed for."""
    return evidence.kl


def mu_squared(evidence: Evidence) -> Values:
    """Return ``|mean|^2``, from the encoder alone.

    Govorkova et al. 2022, "Autoencoders on field-programmable gate arrays for real-time,
    unsupervised new physics detection at 40 MHz at the Large Hadron Collider", equation 3: the KL
    without what the variances add.
    """
    squares: Values = np.square(evidence.mean.astype(np.float64)).sum(axis=1)
    return squares


def squared_error(evidence: Evidence) -> Values:
    """Return the mean squared residual."""
    error: Values = _energy(evidence.residual) / evidence.x[0].size
    return error


def relative_error(evidence: Evidence) -> Values:
    """Return the squared residual over the image's own energy: what share of it is not explained.

    A bright image has more to get wrong than a dark one. Both are blurred by a pixel first, for
    where exactly an edge runs tells little.
    """
    images, residual = (
        np.stack([blur(c, 1) for c in np.moveaxis(part, 3, 0)])
        for part in (evidence.x, evidence.residual)
    )
    unexplained = np.square(residual).sum(axis=(0, 2, 3), dtype=np.float64)
    energy = np.square(images).sum(axis=(0, 2, 3), dtype=np.float64)
    share: Values = unexplained / (energy + _SMALLEST_ENERGY)
    return share


def complexity(evidence: Evidence) -> Values:
    """Return -ELBO less the bits that a general compressor needs for the image, all in nats.

    Serra et al. 2020, "Input complexity and out-of-distribution detection with likelihood-based
    generative models", equation 2, with DEFLATE for the compressor.
    """
    pixels = np.rint(evidence.x * np.float32(255)).astype(np.uint8)
    sizes = np.array([len(zlib.compress(image.tobytes(), 9)) for image in pixels], np.float64)
    return negative_elbo(evidence) - 8 * math.log(2) * sizes


def _energy(x: Array) -> Values:
    flat = x.reshape(len(x), -1)
    energy: Values = np.einsum("ij,ij->i", flat, flat, dtype=np.float64)
    return energy
