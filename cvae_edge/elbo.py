"""The objective in numpy, for every evaluation: of a run, of exported files, of images on a device.

All values are in nats per image, summed over pixels and latents. ``cvae_edge.training.elbo`` has
the same formulas in TensorFlow, for gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.model_config import Binarize, require

Array = NDArray[np.float32]


class Codec(Protocol):
    """An encoder and a decoder without randomness, whatever runs them."""

    def encode(self, x: Array, /) -> tuple[Array, Array]:
        """Map x (n, h, w, c) to mean and logvar, each (n, latent_dim)."""

    def decode(self, z: Array, /) -> Array:
        """Map z (n, latent_dim) to x_logits (n, h, w, c)."""


def reparameterize(mean: Array, logvar: Array, eps: Array) -> Array:
    """Return z = mean + exp(logvar / 2) * eps (Kingma and Welling 2014, section 2.4)."""
    z: Array = mean + np.exp(np.float32(0.5) * logvar) * eps
    return z


def log_bernoulli(x: Array, x_logits: Array) -> Array:
    """Return log p(x|z), (n,): sum over pixels of x * l - log(1 + exp(l))."""
    n = len(x)
    magnitude = np.abs(x_logits)
    # log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|)), which cannot overflow. numpy has a vector
    # loop for log, not for log1p; the rounding this adds is below 1e-7 a pixel.
    np.negative(magnitude, out=magnitude)
    np.exp(magnitude, out=magnitude)
    magnitude += np.float32(1)
    np.log(magnitude, out=magnitude)
    terms = x * x_logits
    terms -= np.maximum(x_logits, np.float32(0))
    terms -= magnitude
    log_px: Array = terms.reshape(n, -1).sum(axis=1)
    return log_px


def kl_sample(z: Array, logvar: Array, eps: Array) -> Array:
    """Return log q(z|x) - log p(z), (n,), at z = mean + exp(logvar / 2) * eps."""
    kl: Array = np.float32(0.5) * (z * z - eps * eps - logvar).sum(axis=1)
    return kl


def kl_analytic(mean: Array, logvar: Array) -> Array:
    """Return KL(q(z|x) || N(0, I)), (n,) (Kingma and Welling 2014, appendix B)."""
    terms = mean * mean + np.exp(logvar) - logvar - np.float32(1)
    kl: Array = np.float32(0.5) * terms.sum(axis=1)
    return kl


class Evaluation(NamedTuple):
    """Means over the images, in nats per image; standard errors are of those means."""

    images: int
    samples: int
    elbo: float
    elbo_standard_error: float
    iwae: float  # IWAE-k with k = samples (Burda et al. 2016, equation 8)
    iwae_standard_error: float
    reconstruction: float  # log p(x|z)
    kl: float  # in closed form


def image_bounds(
    codec: Codec, x: Array, samples: int = 1, seed: int = 0, start: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return each image's ``elbo``, ``iwae``, ``reconstruction`` and ``kl``: (n,), float64.

    The ELBO is the mean of the k = ``samples`` log-weights log p(x|z) + log p(z) - log q(z|x), the
    IWAE bound the log of the mean of their exponentials. Image i draws the noise of image
    ``start + i`` of stream ``seed``: the batch size changes nothing. Memory is bounded for any k.
    """
    mean, logvar = codec.encode(x)
    total = np.zeros(len(x))
    reconstruction = np.zeros(len(x))
    log_sum = np.full(len(x), -np.inf)
    for sample in range(samples):
        eps = noise.standard_normal(len(x), mean.shape[1], seed, start, sample)
        z = reparameterize(mean, logvar, eps)
        log_px = log_bernoulli(x, codec.decode(z)).astype(np.float64)
        log_weight = log_px - kl_sample(z, logvar, eps)
        reconstruction += log_px
        total += log_weight
        log_sum = np.logaddexp(log_sum, log_weight)
    return {
        "elbo": total / samples,
        "iwae": log_sum - np.log(samples),
        "reconstruction": reconstruction / samples,
        "kl": kl_analytic(mean, logvar).astype(np.float64),
    }


def evaluate(
    codec: Codec,
    images: NDArray[Any],
    binarize: Binarize,
    samples: int = 1,
    seed: int = 0,
    batch_size: int = 250,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate the ELBO and the IWAE bound on ``images``, a batch at a time.

    Args:
        codec: the encoder and decoder.
        images: (n, h, w, c), uint8 or float32 in [0, 1].
        binarize: what is done to them first; see ``draw_binary``.
        samples: draws an image, k of IWAE-k.
        seed: stream of the noise.
        batch_size: images evaluated together; bounds the memory, changes no result.
        on_batch: called after each batch with the images done and their total.

    Raises:
        ConfigError: samples below 1, or no images.
    """
    # Here, because a device that only runs a model needs none of the data sets' readers.
    from cvae_edge.datasets import draw_binary

    require(samples >= 1, "samples must be at least 1", samples)
    require(len(images) >= 1, "there must be images to evaluate on", len(images))
    columns: dict[str, list[NDArray[np.float64]]] = {}
    for start in range(0, len(images), batch_size):
        x = draw_binary(images[start : start + batch_size], binarize, start=start)
        for name, values in image_bounds(codec, x, samples, seed, start).items():
            columns.setdefault(name, []).append(values)
        on_batch(start + len(x), len(images))
    bounds = {name: np.concatenate(parts) for name, parts in columns.items()}
    spread = {name: float(v.std() / np.sqrt(len(v))) for name, v in bounds.items()}
    return Evaluation(
        images=len(images),
        samples=samples,
        elbo=float(bounds["elbo"].mean()),
        elbo_standard_error=spread["elbo"],
        iwae=float(bounds["iwae"].mean()),
        iwae_standard_error=spread["iwae"],
        reconstruction=float(bounds["reconstruction"].mean()),
        kl=float(bounds["kl"].mean()),
    )
