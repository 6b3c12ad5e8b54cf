"""What a trained model comes to: its likelihood's scale, and its figures on test images."""

from __future__ import annotations

from typing import Any

import numpy as np

from cvae_edge import noise
from cvae_edge.architectures.vae import VAE
from cvae_edge.codec import Codec
from cvae_edge.datasets import Dataset
from cvae_edge.elbo import evaluate, reparameterize
from cvae_edge.likelihoods import Likelihood, fit_likelihood, make_likelihood
from cvae_edge.preprocess import draw_binary
from cvae_edge.training.evaluate import trained_codec
from cvae_edge.training.prior import FittedPrior

_IMAGES = 1000  # that a scale is fitted on
_VALUES = 1 << 22  # of all of them; where images are large, fewer do
_STREAM = 3  # of noise; evaluations draw from stream 0, calibration from 1 and 2


def fit_on(codec: Codec, dataset: Dataset, name: str) -> Likelihood:
    """Return the likelihood whose scale is best on training images.

    Args:
        codec: the trained networks.
        dataset: the data.
        name: of the likelihood.
    """
    if name == "bernoulli":
        likelihood: Likelihood = make_likelihood(name)
        return likelihood
    images = dataset.train.images
    count = min(len(images), _IMAGES, max(16, _VALUES // images[0].size))
    spread = np.linspace(0, len(images) - 1, count).astype(np.int64)  # folders are in order
    x = draw_binary(images[spread], dataset.binarize)
    mean, logvar = codec.encode(x)
    eps = noise.standard_normal(len(x), mean.shape[1], _STREAM)
    fitted: Likelihood = fit_likelihood(name, x, codec.decode(reparameterize(mean, logvar, eps)))
    return fitted


def summarize(
    vae: VAE, dataset: Dataset, likelihood: Likelihood, prior: FittedPrior | None = None
) -> dict[str, Any]:
    """Return a finished model's figures on test images, as JSON values."""
    codec = trained_codec(vae, None if prior is None else prior.flow)
    test = evaluate(codec, dataset.test.images, dataset.binarize, likelihood)
    standard = None if test.prior_gain is None else test.elbo - test.prior_gain
    figures = {
        "test_elbo_standard_prior": standard,
        "test_psnr": test.psnr,
        "test_bits_per_dim": test.bits_per_dim,
        "prior": None if prior is None else prior.report,
    }
    return {
        "test_elbo": test.elbo,
        "test_elbo_standard_error": test.elbo_standard_error,
        **{name: value for name, value in figures.items() if value is not None},
        "likelihood": likelihood.name,
        "train_images": len(dataset.train),
        "validation_images": len(dataset.validation),
        "test_images": len(dataset.test),
        "binarize": dataset.binarize,
    }
