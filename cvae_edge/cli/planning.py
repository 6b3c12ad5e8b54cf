"""From the options of ``train`` to what a training begins with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvae_edge.config import OWN, RECIPES, DataConfig, ModelConfig, for_images
from cvae_edge.errors import ConfigError

if TYPE_CHECKING:
    from cvae_edge.architectures.vae import VAE
    from cvae_edge.datasets import Dataset
    from cvae_edge.training.run import RunConfig


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training begins with."""

    config: RunConfig
    dataset: Dataset | None  # where it has been read already
    vae: VAE | None  # of one's own


def make_plan(
    resumed: Path | None,
    recipe: str | None,
    model_options: dict[str, Any],
    data_options: dict[str, Any],
    train_options: dict[str, Any],
    own: str | None = None,
) -> Plan:
    """Put a run's config together from what was given; None stands for not given.

    A run that is resumed keeps its own config under what was given, so that ``train`` can say
    what differs.
    """
    from cvae_edge.architectures.own import build_own
    from cvae_edge.architectures.presets import PRESETS, default_preset
    from cvae_edge.datasets import load_dataset
    from cvae_edge.likelihoods import default_likelihood
    from cvae_edge.training.run import Run, RunConfig

    if resumed is not None and resumed.exists():
        old = Run.open(resumed).config
        training = RECIPES[_known(RECIPES, recipe, "recipe")] if recipe else old.train
        return Plan(
            RunConfig(
                dataclasses.replace(old.model, **_given(model_options)),
                dataclasses.replace(old.data, **_given(data_options)),
                dataclasses.replace(training, **_given(train_options)),
            ),
            None,
            None,
        )
    data = DataConfig(**_given(data_options))
    dataset = load_dataset(data)
    shape = dataset.image_shape
    name = _known(PRESETS, model_options["preset"] or default_preset(shape), "preset")
    model = ModelConfig(name, shape, PRESETS[name].latent_dim)
    model = dataclasses.replace(model, **_given(model_options))
    training = RECIPES[_known(RECIPES, recipe or PRESETS[name].recipe, "recipe")]
    training = for_images(training, len(dataset.train))
    training = dataclasses.replace(training, likelihood=default_likelihood(dataset.binarize))
    training = dataclasses.replace(training, **_given(train_options))
    vae = None
    if own is not None:
        vae = build_own(own, shape, model.latent_dim)
        model = dataclasses.replace(model, preset=OWN, latent_dim=vae.latent_dim)
    return Plan(RunConfig(model, data, training), dataset, vae)


def intention(plan: Plan) -> str:
    """Say what is about to be trained."""
    from cvae_edge.likelihoods import make_likelihood, unit

    model, training = plan.config.model, plan.config.train
    shape = "x".join(map(str, model.image_shape))
    text = f"Training {model.preset} networks for {shape} images, {model.latent_dim} latents, "
    text += f"likelihood {training.likelihood}, {training.epochs} epochs"
    if plan.dataset is None:
        return f"{text}."
    binarize, images = plan.dataset.binarize, len(plan.dataset.train)
    scale = {"gaussian": (1.0,), "logistic": (1.0,)}.get(training.likelihood, ())
    nats = unit(make_likelihood(training.likelihood, scale), binarize)
    pixels = {"none": "as they are", "threshold": "thresholded at 0.5", "draw": "drawn anew"}
    return f"{text}, on {images} images, pixels {pixels[binarize]}; values are {nats}."


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _known(table: dict[str, Any], name: str, what: str) -> str:
    if name not in table:
        raise ConfigError(f"{what} must be one of {', '.join(table)}, got {name!r}")
    return name
