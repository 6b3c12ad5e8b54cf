"""From a config to a trained run, on one machine or many."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from cvae_edge.architectures.foreign import recognize
from cvae_edge.architectures.presets import build_preset
from cvae_edge.architectures.vae import VAE
from cvae_edge.config import IMPORTED, OWN, DataConfig, require
from cvae_edge.datasets import Dataset, load_dataset
from cvae_edge.errors import ConfigError, RunError
from cvae_edge.folders import temporary_files
from cvae_edge.likelihoods import check_likelihood
from cvae_edge.training.loop import Loop, Progress, Stopped
from cvae_edge.training.prior import OnStep
from cvae_edge.training.run import Run, RunConfig
from cvae_edge.training.run_folder import check_data, check_new, held, locate_data
from cvae_edge.training.step import require_equal_shares

Models = tuple[keras.Model, keras.Model]  # encoder, decoder
__all__ = ["Beginning", "Progress", "Stopped", "train"]


class Beginning(NamedTuple):
    """What a training begins with."""

    config: RunConfig
    dataset: Dataset
    vae: VAE

    @property
    def parameters(self) -> int:
        """How many numbers both networks have."""
        return int(self.vae.encoder.count_params() + self.vae.decoder.count_params())


@temporary_files()
def train(
    folder: str | Path,
    config: RunConfig,
    dataset: Dataset | None = None,
    *,
    models: Models | None = None,
    resume: bool = False,
    strategy: str = "default",
    on_begin: Callable[[Beginning], None] = lambda beginning: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
    on_prior: OnStep = lambda done, steps: None,
) -> Run:
    """Train a model into the run ``folder`` and return its run.

    The result is a function of ``config`` and the machine alone: a training that was killed and
    resumed ends with the weights of one that was not. SIGINT and SIGTERM end the step and save.

    Args:
        folder: a new run folder or, with ``resume``, one that was begun.
        config: the model, the data and the recipe.
        dataset: what ``config.data`` names, where it has been read already.
        models: an encoder and a decoder of one's own, Keras models, in place of the preset that
            ``config.model`` names; see ``architectures.foreign.recognize`` for their forms. They
            are copied, with their weights. Every worker must give the same.
        resume: continue what ``folder`` holds; a finished run is returned as it is, or trained on
            where ``config`` has more epochs.
        strategy: default, mirrored (every GPU of this machine) or multiworker (as TF_CONFIG says).
        on_begin: called once, when everything is checked, unless the run is finished.
        on_progress: called after each step.
        on_epoch: called after each epoch with its row of the history.
        on_prior: called after each step in which a learned prior is fitted, with the steps done and
            all of them.

    Raises:
        RunError: the folder is taken, or holds no run, one of another config or of other data, or
            one that another process writes.
        DataError, ConfigError: data or settings that cannot be trained on.
        TrainingError: the loss became NaN or infinite; what was saved before stays.
        Stopped: SIGINT or SIGTERM came; everything is saved.
    """
    tf.config.experimental.enable_op_determinism()
    distribution, is_chief = _make_strategy(strategy)
    folder, data = Path(folder), config.data
    if resume:
        data, config = _find_data(folder, config)
    dataset = dataset or load_dataset(data)
    own = None if models is None else recognize(*models)
    if own is not None:
        model = replace(config.model, preset=OWN, latent_dim=own.latent_dim)
        config = replace(config, model=replace(model, image_shape=own.image_shape))
    _check_data(config, dataset)
    require_equal_shares(config.train, distribution.num_replicas_in_sync)
    if not resume and is_chief:
        check_new(folder, config.data.source)
    with held(folder) if is_chief else nullcontext():  # only the chief writes
        old = _open_run(folder, config) if resume else None
        with distribution.scope():
            vae = _build(config, own, old)
        run = old or (Run.create(folder, config, vae) if is_chief else Run(folder, config))
        if run.summary is None:
            on_begin(Beginning(config, dataset, vae))
            Loop(run, vae, dataset, distribution, is_chief).fit(on_progress, on_epoch, on_prior)
    return run


def _build(config: RunConfig, own: VAE | None, old: Run | None) -> VAE:
    """Build the networks anew, in the scope that they are trained in.

    What cannot be built from its description could not be loaded after training.
    """
    if old is not None:
        if old.summary is None and not any(old.checkpoints.glob("*.index")):
            raise RunError(f"{old.folder} has no checkpoint to go on from: train again elsewhere")
        return old.networks()
    given = own or build_preset(config.model, config.train.seed)
    vae = VAE.from_architecture(given.architecture())
    vae.load_weights(given.weights())
    return vae


def _open_run(folder: Path, config: RunConfig) -> Run:
    run = Run.open(folder)
    if _trains_on(run, config):
        return Run(folder, config)
    if run.config != config:
        old, new = run.config.to_dict(), config.to_dict()
        differing = [
            f"{name} is {old[part][name]} there and {new[part][name]} here"
            for part in old
            for name in old[part]
            if old[part][name] != new[part][name]
        ]
        raise RunError(
            f"--resume continues a run with its own settings, but in {folder} "
            f"{', '.join(differing)}"
        )
    return run


def _find_data(folder: Path, config: RunConfig) -> tuple[DataConfig, RunConfig]:
    """Return where the data of a run is now, and ``config`` with the name that the run has for it.

    Raises:
        RunError: there is no run, or the data is not what it was begun with.
    """
    recorded = Run.open(folder).config.data.source
    given = config.data.source
    source = locate_data(folder, recorded) if given == recorded else given
    data = replace(config.data, source=source)
    known = check_data(folder, source)
    return data, replace(config, data=replace(data, source=recorded if known else given))


def _trains_on(run: Run, config: RunConfig) -> bool:
    """Whether ``config`` gives a run that was finished here more epochs, and changes no more."""
    epochs = config.train.epochs
    more = replace(run.config, train=replace(run.config.train, epochs=epochs))
    finished = run.summary is not None and run.config.model.preset != IMPORTED
    return finished and config == more and epochs > run.config.train.epochs


def _check_data(config: RunConfig, dataset: Dataset) -> None:
    check_likelihood(config.train.likelihood, dataset.binarize)
    require(
        dataset.image_shape == config.model.image_shape,
        f"the model takes images of {config.model.image_shape}",
        dataset.image_shape,
    )
    require(
        config.train.batch_size <= len(dataset.train),
        f"batch_size must not be above the {len(dataset.train)} training images of {dataset.name}",
        config.train.batch_size,
    )


def _make_strategy(name: str) -> tuple[tf.distribute.Strategy, bool]:
    """Return the strategy, and whether this process is the one that writes."""
    if name == "default":
        return tf.distribute.get_strategy(), True
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(), True
    if name == "multiworker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        return strategy, resolver.task_type in (None, "chief") or (
            resolver.task_type == "worker"
            and resolver.task_id == 0
            and "chief" not in resolver.cluster_spec().jobs
        )
    raise ConfigError(f"strategy must be default, mirrored or multiworker, got {name!r}")
