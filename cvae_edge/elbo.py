"""The objective in numpy, for every evaluation: of a run, of exported files, of images on a device.

All values are in nats per image, summed over pixels and latents. ``cvae_edge.likelihoods`` has
log p(x|z), ``cvae_edge.training.elbo`` the same formulas in TensorFlow, for gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.codec import Array as Array
from cvae_edge.codec import Codec
from cvae_edge.likelihoods import Likelihood
from cvae_edge.model_config import require
from cvae_edge.preprocess import Binarize, Pixels, draw_binary
from cvae_edge.sigmoid import sigmoid

_BUDGET, _BUDGET_SHARE, _BUDGET_BITS = 0.5, 0.0002, 0.003
BUDGET_RULE = (  # of what a file may lose
    f"{_BUDGET} nats, or if that is more {_BUDGET_SHARE:.2%} of the ELBO, or {_BUDGET_BITS} bits "
    "for each value of a grey or colour image"
)
_BATCH, _BATCH_PIXELS = 250, 1 << 20  # images evaluated together, and pixels of all of them


def reparameterize(mean: Array, logvar: Array, eps: Array) -> Array:
    """Return z = mean + exp(logvar / 2) * eps (Kingma and Welling 2014, section 2.4)."""
    z: Array = mean + np.exp(np.float32(0.5) * logvar) * eps
    return z


def kl_sample(z: Array, logvar: Array, eps: Array) -> Array:
    """Return log q(z|x) - log N(z; 0, I), (n,), at z = mean + exp(logvar / 2) * eps."""
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
    kl: float  # to the standard normal in closed form, less prior_gain
    psnr: float | None  # of the reconstructions that were drawn, in dB; None for binary pixels
    bits_per_dim: float | None  # -ELBO / (values of an image * log 2), where pixels have 256 levels
    prior_gain: float | None = None  # what a learned prior adds to the ELBO: its log p(z) less the
    # standard normal's; None where that is the prior


def loss_budget(elbo: float, pixels: Pixels) -> float:
    """Return how many nats a file may lose, by ``BUDGET_RULE``.

    The ELBO of a density says nothing of how much is at stake: in other units of the pixels it is
    another, or 0.
    """
    bits = 0.0 if pixels.binarize != "none" else _BUDGET_BITS * math.prod(pixels.image_shape)
    return max(_BUDGET, _BUDGET_SHARE * abs(elbo), bits * math.log(2))


def psnr(squared_error: float) -> float:
    """Return the peak signal-to-noise ratio in dB of pixels in [0, 1] with a mean squared error."""
    return -10 * math.log10(max(squared_error, 1e-12))


def bits_per_dim(elbo: Any, image_shape: Sequence[int]) -> Any:
    """Return -ELBO / (values of an image * log 2), of one ELBO in nats or of an array of them."""
    return -elbo / (math.prod(image_shape) * math.log(2))


def image_bounds(
    codec: Codec,
    x: Array,
    likelihood: Likelihood,
    samples: int = 1,
    seed: int = 0,
    start: int | None = 0,
    with_error: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Return each image's ``elbo``, ``iwae``, ``reconstruction`` and ``kl``: (n,), float64.

    The ELBO is the mean of the k = ``samples`` log-weights log p(x|z) + log p(z) - log q(z|x), the
    IWAE bound the log of the mean of their exponentials. The KL is the one to the standard normal
    in closed form, less the mean of ``Codec.prior_gain``; for a learned prior that mean is there as
    ``prior_gain``. ``with_error`` adds ``squared_error``, the
    mean over pixels of (x - sigmoid(x_logits))^2. Image i draws the noise of image ``start + i`` of
    stream ``seed``: the batch size changes nothing. Without ``start`` every image draws that of
    image 0, so that its bounds do not depend on its place. Memory is bounded for any k.
    """
    mean, logvar = codec.encode(x)
    drawn, first = (1, 0) if start is None else (len(x), start)
    total = np.zeros(len(x))
    reconstruction, error, gain = (np.zeros(len(x)) for _ in range(3))
    log_sum = np.full(len(x), -np.inf)
    for sample in range(samples):
        eps = noise.standard_normal(drawn, mean.shape[1], seed, first, sample)
        z = reparameterize(mean, logvar, eps)
        x_logits = codec.decode(z)
        log_px = likelihood.log_prob(x, x_logits).astype(np.float64)
        if with_error:
            error += squared_error(x, x_logits)
        gain_sample = codec.prior_gain(z)
        log_weight = log_px - kl_sample(z, logvar, eps) + gain_sample
        reconstruction += log_px
        gain += gain_sample
        total += log_weight
        log_sum = np.logaddexp(log_sum, log_weight)
    bounds = {
        "elbo": total / samples,
        "iwae": log_sum - np.log(samples),
        "reconstruction": reconstruction / samples,
        "kl": kl_analytic(mean, logvar).astype(np.float64) - gain / samples,
    }
    if codec.density is not None:
        bounds["prior_gain"] = gain / samples
    return {**bounds, "squared_error": error / samples} if with_error else bounds


def score_of(bounds: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the bound that says how likely an image is: IWAE, or the ELBO at the mean."""
    return bounds["iwae" if "iwae" in bounds else "elbo_at_mean"]


def squared_error(x: Array, x_logits: Array) -> NDArray[np.float64]:
    """Return each image's mean of (x - sigmoid(x_logits))^2, (n,)."""
    error: Array = np.square(x - sigmoid(x_logits.copy())).reshape(len(x), -1).mean(axis=1)
    return error.astype(np.float64)


def evaluate(
    codec: Codec,
    images: NDArray[Any],
    binarize: Binarize,
    likelihood: Likelihood,
    samples: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate the ELBO and the IWAE bound on ``images``, a batch at a time.

    Args:
        codec: the encoder and decoder.
        images: (n, h, w, c), uint8 or float32 in [0, 1].
        binarize: what is done to them first; see ``draw_binary``.
        likelihood: of the pixels.
        samples: draws an image, k of IWAE-k.
        seed: stream of the noise.
        batch_size: images evaluated together; bounds the memory, changes no result. None: 250, or
            fewer where they are large.
        on_batch: called after each batch with the images done and their total.

    Raises:
        ConfigError: samples below 1, or no images.
    """
    require(samples >= 1, "samples must be at least 1", samples)
    require(len(images) >= 1, "there must be images to evaluate on", len(images))
    fitting = max(1, _BATCH_PIXELS // math.prod(images.shape[1:3]))
    batch_size = min(_BATCH, fitting) if batch_size is None else batch_size
    with_error = binarize == "none"
    columns: dict[str, list[NDArray[np.float64]]] = {}
    for start in range(0, len(images), batch_size):
        x = draw_binary(images[start : start + batch_size], binarize, start=start)
        of_batch = image_bounds(codec, x, likelihood, samples, seed, start, with_error)
        for name, values in of_batch.items():
            columns.setdefault(name, []).append(values)
        on_batch(start + len(x), len(images))
    bounds = {name: np.concatenate(parts) for name, parts in columns.items()}
    elbo = float(bounds["elbo"].mean())
    bits = bits_per_dim(elbo, images.shape[1:]) if likelihood.name == "logistic" else None
    spread = {name: float(v.std() / np.sqrt(len(v))) for name, v in bounds.items()}
    return Evaluation(
        images=len(images),
        samples=samples,
        elbo=elbo,
        elbo_standard_error=spread["elbo"],
        iwae=float(bounds["iwae"].mean()),
        iwae_standard_error=spread["iwae"],
        reconstruction=float(bounds["reconstruction"].mean()),
        kl=float(bounds["kl"].mean()),
        psnr=psnr(float(bounds["squared_error"].mean())) if with_error else None,
        bits_per_dim=bits,
        prior_gain=float(bounds["prior_gain"].mean()) if "prior_gain" in bounds else None,
    )
