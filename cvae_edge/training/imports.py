"""A VAE that was trained elsewhere, as a finished run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from cvae_edge.architectures.files import load_model, require_known_layers
from cvae_edge.architectures.foreign import recognize
from cvae_edge.architectures.presets import PRESETS, build_preset
from cvae_edge.codec import Array, Codec
from cvae_edge.config import IMPORTED, DataConfig, ModelConfig, TrainConfig, require
from cvae_edge.datasets import Dataset, load_dataset
from cvae_edge.elbo import evaluate, kl_analytic
from cvae_edge.errors import ConfigError, DataWarning
from cvae_edge.folders import temporary_files
from cvae_edge.likelihoods import Likelihood, check_likelihood, default_likelihood, fit_likelihood
from cvae_edge.model_config import require_choice
from cvae_edge.preprocess import draw_binary
from cvae_edge.training import plots
from cvae_edge.training.evaluate import trained_codec
from cvae_edge.training.run import Run, RunConfig
from cvae_edge.training.run_folder import check_new, held
from cvae_edge.training.summary import fit_on, summarize

Model: TypeAlias = keras.Model | str | Path
SPREADS = ("variance", "std")
_IMAGES = 1000  # that the checks look at
_MOST_NATS = 1e4  # of KL for each latent: no trained model comes near


@temporary_files()
def import_models(
    encoder: Model,
    decoder: Model,
    data: str | DataConfig,
    out: str | Path,
    *,
    likelihood: str | None = None,
    spread: str = "variance",
    preset: str | None = None,
    latent_dim: int | None = None,
    width: float = 1.0,
) -> Run:
    """Make a finished run of a trained encoder and decoder.

    Args:
        encoder: a Keras model or its file; see ``architectures.foreign.recognize`` for what its
            outputs may be, and ``architectures.files.load_model`` for the files.
        decoder: the same; a linear one with likelihood ``gaussian`` is taken to give pixels.
        data: what it was trained on, as after ``--data``.
        out: the new run's folder.
        likelihood: of ``likelihoods.LIKELIHOODS``; None takes bernoulli for binary pixels, else
            gaussian. Its scale is fitted on training images.
        spread: what the encoder's second output is the logarithm of: variance or std.
        preset: the architecture that weights alone belong to.
        latent_dim: of that; None takes the preset's.
        width: of that.

    Returns:
        The run, which ``export_bundle`` and every command take like any other.

    Raises:
        DataError, ConfigError: the files, the pair or the data do not fit each other.
        RunError: ``out`` is taken.

    Warns:
        DataWarning: the model explains the data worse than a mean image does.
    """
    folder = Path(out)
    check_new(folder, data if isinstance(data, str) else data.source)
    require_choice("spread", spread, SPREADS)
    config = data if isinstance(data, DataConfig) else DataConfig(data)
    dataset = load_dataset(config)
    name = likelihood or default_likelihood(dataset.binarize)
    check_likelihood(name, dataset.binarize)
    halves: list[Any] = [None, None]
    if preset is not None:
        require_choice("preset", preset, tuple(PRESETS))
        size = latent_dim or PRESETS[preset].latent_dim
        built = build_preset(ModelConfig(preset, dataset.image_shape, size, width))
        halves = [built.encoder, built.decoder]
    encoder, decoder = (
        given if isinstance(given, keras.Model) else load_model(Path(given), half)
        for given, half in zip((encoder, decoder), halves, strict=True)
    )
    vae = recognize(encoder, decoder, log_std=spread == "std", linear_pixels=name == "gaussian")
    for half in (vae.encoder, vae.decoder):
        require_known_layers(half)
    require(
        dataset.image_shape == vae.image_shape,
        f"the data must be images of the encoder's shape {vae.image_shape} (--image-size and "
        "--channels make them so)",
        dataset.image_shape,
    )
    codec = trained_codec(vae)
    _check_spread(codec, dataset, spread)
    fitted = fit_on(codec, dataset, name)
    _compare_with_mean_image(codec, dataset, fitted)
    model = ModelConfig(IMPORTED, vae.image_shape, vae.latent_dim)
    with held(folder):
        run = Run.create(folder, RunConfig(model, config, TrainConfig(likelihood=name)), vae)
        run.save_weights(vae.weights(), fitted)
        plots.draw_reconstructions(codec, dataset, folder)
        run.finish(summarize(vae, dataset, fitted))
        run.begin()
    return run


def _images(dataset: Dataset) -> Array:
    return draw_binary(dataset.train.images[:_IMAGES], dataset.binarize)


def _check_spread(codec: Codec, dataset: Dataset, spread: str) -> None:
    """Raise ConfigError if the encoder's outputs cannot be a mean and a spread of that kind."""
    mean, logvar = codec.encode(_images(dataset))
    other, factor = ("variance", 0.5) if spread == "std" else ("std", 2.0)
    kl, otherwise = _mean_kl(mean, logvar), _mean_kl(mean, factor * logvar)
    if not np.isfinite(kl) or kl > _MOST_NATS * mean.shape[1]:
        raise ConfigError(
            f"the encoder's second output must be the logarithm of a {spread}, but then the KL is "
            f"{kl:.3g} nats, which no trained model has: try --log-{other}, or see whether "
            "the outputs are in the order mean, spread"
        )
    if kl > 2 * otherwise:
        warnings.warn(
            f"read as --log-{spread}, the encoder's second output gives a KL of {kl:.4g} "
            f"nats, and as --log-{other} of {otherwise:.4g}: check which one it is",
            DataWarning,
            stacklevel=3,
        )


def _mean_kl(mean: Array, logvar: Array) -> float:
    wide: list[Any] = [values.astype(np.float64) for values in (mean, logvar)]
    with np.errstate(over="ignore"):  # a wrong reading may overflow, which is what is looked for
        return float(kl_analytic(*wide).mean())


def _compare_with_mean_image(codec: Codec, dataset: Dataset, likelihood: Likelihood) -> None:
    """Warn if the model explains its data worse than a decoder that only gives the mean image."""
    images = dataset.train.images[:_IMAGES]
    elbo = evaluate(codec, images, dataset.binarize, likelihood).elbo
    x = _images(dataset)
    mean = np.clip(x.mean(axis=0, dtype=np.float64), 1e-3, 1 - 1e-3)
    x_logits = np.broadcast_to(np.log(mean / (1 - mean)), x.shape).astype(np.float32)
    best = fit_likelihood(likelihood.name, x, x_logits)
    baseline = float(best.log_prob(x, x_logits).mean())
    if not elbo >= baseline:
        warnings.warn(
            f"the model's ELBO on its training images, {elbo:.4g} nats, is worse than the "
            f"{baseline:.4g} of a decoder that only gives the mean image: the usual causes are "
            "another range of values than [0, 1], inverted pixels, another order of channels, or "
            "binarization (--binarize)",
            DataWarning,
            stacklevel=3,
        )
