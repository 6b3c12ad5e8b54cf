"""From a command's options to what a training begins with."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvae_edge.errors import ConfigError
from cvae_edge.model_config import require_choice

if TYPE_CHECKING:  # numpy takes a tenth of a second that --help does not wait for
    from cvae_edge.architectures.vae import VAE
    from cvae_edge.config import ModelConfig, TrainConfig
    from cvae_edge.datasets import Dataset
    from cvae_edge.training.run import RunConfig

_GENERAL = "general"
# Of recipe general on few images, unless something else is asked for.
_STEPS, _MOST_EPOCHS, _LEAST_STEPS_AN_EPOCH = 3000, 200, 4


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What a training begins with."""

    config: RunConfig
    dataset: Dataset | None  # where it has been read already
    vae: VAE | None  # of one's own


def check_options(
    recipe: str | None, data_options: dict[str, Any], train_options: dict[str, Any]
) -> None:
    """Raise ConfigError for what is wrong whatever the data and the networks are."""
    from cvae_edge.config import RECIPES, DataConfig
    from cvae_edge.likelihoods import LIKELIHOODS

    DataConfig(**_given(data_options))
    _known(LIKELIHOODS, train_options.get("likelihood") or "bernoulli", "likelihood")
    start = RECIPES[_known(RECIPES, recipe or _GENERAL, "recipe")]
    dataclasses.replace(start, **_given(train_options))


def plan_training(
    resumed: Path | None,
    recipe: str | None,
    model_options: dict[str, Any],
    data_options: dict[str, Any],
    train_options: dict[str, Any],
    own: str | None = None,
) -> TrainingPlan:
    """Put a run's config together from what was given; None stands for not given.

    A run that is resumed keeps its own config under what was given, so that ``train`` can say
    what differs.

    Args:
        resumed: the folder of a run to continue.
        recipe: of ``RECIPES``; None takes the preset's.
        model_options: preset, latent_dim and width.
        data_options: fields of ``DataConfig``.
        train_options: fields of ``TrainConfig``.
        own: FILE.py:FUNCTION in the preset's place.

    Raises:
        ConfigError: an option has no such value.
        DataError: the data cannot be read.
        RunError: there is no run to continue.
    """
    from cvae_edge.architectures.presets import PRESETS, default_preset
    from cvae_edge.config import OWN, RECIPES, DataConfig, ModelConfig
    from cvae_edge.datasets import load_dataset
    from cvae_edge.likelihoods import default_likelihood
    from cvae_edge.training.run import RunConfig

    if resumed is not None:
        return _resume(resumed, recipe, model_options, data_options, train_options, own)
    data = DataConfig(**_given(data_options))
    dataset = load_dataset(data)
    shape = dataset.image_shape
    name = _known(PRESETS, model_options.get("preset") or default_preset(shape), "preset")
    model = ModelConfig(name, shape, PRESETS[name].latent_dim)
    model = dataclasses.replace(model, **_given(model_options))
    usual = PRESETS[name].recipe if own is None else _GENERAL
    training = RECIPES[_known(RECIPES, recipe or usual, "recipe")]
    if recipe is None and usual == _GENERAL:
        training = _suit(training, len(dataset.train), train_options.get("epochs"))
    training = dataclasses.replace(training, likelihood=default_likelihood(dataset.binarize))
    training = dataclasses.replace(training, **_given(train_options))
    vae = None
    if own is not None:
        vae = _build_own(own, model, training)
        model = dataclasses.replace(model, preset=OWN, latent_dim=vae.latent_dim)
    if model.latent_dim == 1 and train_options.get("prior") is None:  # it has no halves
        training = dataclasses.replace(training, prior="standard")
    return TrainingPlan(RunConfig(model, data, training), dataset, vae)


def _resume(
    folder: Path,
    recipe: str | None,
    model_options: dict[str, Any],
    data_options: dict[str, Any],
    train_options: dict[str, Any],
    own: str | None,
) -> TrainingPlan:
    from cvae_edge.config import RECIPES
    from cvae_edge.training.run import Run, RunConfig

    if own is not None:
        raise ConfigError(f"--resume continues the networks of the run {folder}: leave out --model")
    old = Run.open(folder).config
    training = RECIPES[_known(RECIPES, recipe, "recipe")] if recipe else old.train
    config = RunConfig(
        dataclasses.replace(old.model, **_given(model_options)),
        dataclasses.replace(old.data, **_given(data_options)),
        dataclasses.replace(training, **_given(train_options)),
    )
    return TrainingPlan(config, None, None)


def _build_own(own: str, model: ModelConfig, training: TrainConfig) -> VAE:
    import keras

    from cvae_edge.architectures.own import build_own

    # Layers whose initializers have no seed of their own draw from Keras' seed.
    keras.utils.set_random_seed(training.seed % 2**32)
    return build_own(own, model.image_shape, model.latent_dim)


def _suit(training: TrainConfig, images: int, epochs: int | None) -> TrainConfig:
    """Make batches smaller where there are few images and, unless they are given, epochs more."""
    batch_size = training.batch_size
    while batch_size > 1 and images // batch_size < _LEAST_STEPS_AN_EPOCH:
        batch_size //= 2
    training = dataclasses.replace(training, batch_size=batch_size)
    wanted = min(_MOST_EPOCHS, -(-_STEPS // max(1, images // batch_size)))
    factor = wanted / training.epochs
    if epochs is not None or factor <= 1:
        return training
    return dataclasses.replace(
        training,
        epochs=wanted,
        warmup_epochs=factor * training.warmup_epochs,
        average_epochs=factor * training.average_epochs,
    )


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return height and width of a text such as 64 or 64x48."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise ConfigError(f"--image-size must be like 64 or 64x48, height first, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _known(table: dict[str, Any], name: str, what: str) -> str:
    require_choice(what, name, tuple(table))
    return name
