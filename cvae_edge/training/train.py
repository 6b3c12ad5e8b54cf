"""The training loop: epochs, checkpoints, the best weights, and going on after a stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from cvae_edge import noise
from cvae_edge.config import require
from cvae_edge.datasets import Dataset, draw_binary, load_dataset
from cvae_edge.elbo import evaluate
from cvae_edge.errors import ConfigError, RunError, TrainingError
from cvae_edge.training import plots
from cvae_edge.training.evaluate import TrainedCodec
from cvae_edge.training.model import VAE
from cvae_edge.training.run import Run, RunConfig
from cvae_edge.training.step import make_optimizer, make_step

StrategyName = Literal["default", "mirrored", "multiworker"]
_KEPT_CHECKPOINTS = 2  # one is whole while the other is being written


@dataclass(frozen=True)
class Progress:
    """Where a training stands, after each step."""

    epoch: int  # from 1
    epochs: int
    step: int  # steps done, of all epochs
    steps: int
    train_elbo: float  # mean over the epoch so far
    validation_elbo: float  # of the last epoch that ended; NaN before


class Stopped(Exception):  # noqa: N818 - a request that was met, not an error
    """Training stopped because it was asked to; everything is saved."""


def train(
    folder: Path,
    config: RunConfig,
    resume: bool = False,
    strategy: StrategyName = "default",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Run:
    """Train a model into the run ``folder`` and return its run.

    The result is a function of ``config`` and the machine alone: a training that was killed and
    resumed ends with the weights of one that was not. SIGINT ends the step and saves.

    Args:
        folder: a new run folder or, with ``resume``, perhaps one that was begun.
        config: the model, the data and the recipe.
        resume: continue what ``folder`` holds; a finished run is returned as it is.
        strategy: default, mirrored (every GPU of this machine) or multiworker (as TF_CONFIG says).
        on_progress: called after each step.

    Raises:
        RunError: the folder is taken, or holds a run of another config.
        DataError, ConfigError: data or settings that cannot be trained on.
        TrainingError: the loss became NaN or infinite; what was saved before stays.
        Stopped: SIGINT came; everything is saved.
    """
    tf.config.experimental.enable_op_determinism()
    distribution, is_chief = _make_strategy(strategy)
    dataset = load_dataset(config.data)
    _check_data(config, dataset)
    run = _open_run(folder, config, resume) if is_chief else Run(folder, config)
    if run.summary is None or not is_chief:
        _Training(run, dataset, distribution, is_chief).fit(on_progress)
    return run


class _Training:
    def __init__(
        self, run: Run, dataset: Dataset, strategy: tf.distribute.Strategy, is_chief: bool
    ) -> None:
        self.run, self.dataset, self.is_chief = run, dataset, is_chief
        self.config = config = run.config.train
        self.steps_per_epoch = len(dataset.train) // config.batch_size
        self.steps = self.steps_per_epoch * config.epochs
        with strategy.scope():
            self.vae = VAE(run.config.model, config.seed)
            optimizer = make_optimizer(self.vae, config, self.steps_per_epoch)
        self.optimizer = optimizer
        self.train_step = make_step(self.vae, optimizer, config, dataset.binarize, strategy)
        self.codec = TrainedCodec(self.vae)
        # What the loop has to know besides weights and optimizer: saved with them.
        self.step = tf.Variable(0, dtype=tf.int64)
        self.totals = tf.Variable(np.zeros(3))  # sums of the step's results over the epoch
        self.seconds = tf.Variable(0.0, dtype=tf.float64)
        self.best = tf.Variable(-np.inf, dtype=tf.float64)
        checkpoint = tf.train.Checkpoint(
            encoder=self.vae.encoder,
            decoder=self.vae.decoder,
            optimizer=optimizer,
            step=self.step,
            totals=self.totals,
            seconds=self.seconds,
            best=self.best,
        )
        # Every worker reads the chief's checkpoints; only the chief writes.
        self.manager = tf.train.CheckpointManager(
            checkpoint, str(run.checkpoints), max_to_keep=_KEPT_CHECKPOINTS
        )
        self.checkpoint = checkpoint

    def fit(self, on_progress: Callable[[Progress], None]) -> None:
        self._restore()
        validation_elbo = float("nan")
        with _interrupt_flag() as interrupted:
            for epoch in range(int(self.step.numpy()) // self.steps_per_epoch, self.config.epochs):
                order = noise.permutation(len(self.dataset.train), self.config.seed, epoch)
                first = int(self.step.numpy()) - epoch * self.steps_per_epoch
                started = time.monotonic() - float(self.seconds.numpy())
                totals = self.totals.numpy()
                for i in range(first, self.steps_per_epoch):
                    number = epoch * self.steps_per_epoch + i
                    batch = order[i * self.config.batch_size : (i + 1) * self.config.batch_size]
                    result = self.train_step(self.dataset.train.images[batch], number)
                    if not np.isfinite(result).all():
                        raise self._diverged(epoch, number)
                    totals += result
                    on_progress(
                        Progress(
                            epoch + 1,
                            self.config.epochs,
                            number + 1,
                            self.steps,
                            float(totals[2] * -1 + totals[1]) / (i + 1),
                            validation_elbo,
                        )
                    )
                    if interrupted.is_set() and i + 1 < self.steps_per_epoch:
                        self._save(number + 1, totals, time.monotonic() - started)
                        raise Stopped
                validation_elbo = self._end_epoch(epoch, totals, time.monotonic() - started)
                if interrupted.is_set() and epoch + 1 < self.config.epochs:
                    raise Stopped
        if self.is_chief:
            self._finish()

    def _restore(self) -> None:
        if self.manager.latest_checkpoint:
            try:
                self.checkpoint.restore(self.manager.latest_checkpoint).assert_consumed()
            except (tf.errors.OpError, ValueError, AssertionError) as error:
                raise RunError(f"{self.run.checkpoints} is damaged: {error}") from error
        if self.is_chief:
            self.run.start_history(int(self.step.numpy()) // self.steps_per_epoch)

    def _end_epoch(self, epoch: int, totals: Any, seconds: float) -> float:
        """Validate, keep the best, log, save; return the validation ELBO, NaN without images."""
        validation = self.dataset.validation
        elbo = float("nan")
        if len(validation):
            elbo = evaluate(self.codec, validation.images, self.dataset.binarize).elbo
            if not np.isfinite(elbo):
                raise self._diverged(epoch, (epoch + 1) * self.steps_per_epoch - 1)
        better = elbo > float(self.best.numpy())
        if better:
            self.best.assign(elbo)
        if self.is_chief:
            if better or not len(validation):
                self.run.save_weights(self.vae.weights())
            _, reconstruction, kl = totals / self.steps_per_epoch
            self.run.append_history(
                {
                    "epoch": epoch + 1,
                    "step": (epoch + 1) * self.steps_per_epoch,
                    "learning_rate": float(np.float32(self.optimizer.learning_rate)),
                    "train_elbo": reconstruction - kl,
                    "train_reconstruction": reconstruction,
                    "train_kl": kl,
                    "validation_elbo": elbo if len(validation) else "",
                    "seconds": round(seconds, 2),
                }
            )
            if better:
                self._draw()
        self._save((epoch + 1) * self.steps_per_epoch, np.zeros(3), 0.0)
        return elbo

    def _save(self, step: int, totals: Any, seconds: float) -> None:
        self.step.assign(step)
        self.totals.assign(totals)
        self.seconds.assign(seconds)
        if self.is_chief:
            try:
                self.manager.save(checkpoint_number=step)
            except tf.errors.OpError as error:
                raise RunError(
                    f"{self.run.checkpoints} cannot be written: {error.message}"
                ) from error

    def _diverged(self, epoch: int, step: int) -> TrainingError:
        return TrainingError(
            f"the loss became NaN or infinite in epoch {epoch + 1}, step {step + 1}: try a lower "
            f"--learning-rate than {self.config.learning_rate:g}; "
            f"what {self.run.folder} held before is kept"
        )

    def _finish(self) -> None:
        self.vae.load_weights(self.run.read_weights())
        test = evaluate(self.codec, self.dataset.test.images, self.dataset.binarize)
        self._draw()
        history = self.run.history()
        best = float(self.best.numpy())
        self.run.finish(
            {
                "epochs": self.config.epochs,
                "best_epoch": 1 + int(np.nanargmax([row["validation_elbo"] for row in history]))
                if len(self.dataset.validation)
                else self.config.epochs,
                "validation_elbo": best if np.isfinite(best) else None,
                "test_elbo": test.elbo,
                "test_elbo_standard_error": test.elbo_standard_error,
                "train_images": len(self.dataset.train),
                "validation_images": len(self.dataset.validation),
                "test_images": len(self.dataset.test),
                "binarize": self.dataset.binarize,
                "seconds": round(sum(row["seconds"] for row in history), 1),
            }
        )

    def _draw(self) -> None:
        """Draw the curve, and ten images that were not trained on, through the current weights."""
        plots.draw_training_curve(self.run.history(), self.run.folder / "training-curve.png")
        shown = self.dataset.validation if len(self.dataset.validation) else self.dataset.test
        images = shown.images[: plots.COLUMNS]
        x = draw_binary(images, self.dataset.binarize, 0)
        mean, _ = self.codec.encode(x)
        x_recon = 1 / (1 + np.exp(-self.codec.decode(mean)))
        plots.draw_reconstructions(images, x, x_recon, self.run.folder / "reconstructions.png")


def _open_run(folder: Path, config: RunConfig, resume: bool) -> Run:
    if not resume or not folder.exists():
        return Run.create(folder, config)
    run = Run.open(folder)
    if run.config != config:
        old, new = run.config.to_dict(), config.to_dict()
        differing = [
            f"{name} {old[part][name]} there, {new[part][name]} here"
            for part in old
            for name in old[part]
            if old[part][name] != new[part][name]
        ]
        raise RunError(
            f"--resume continues a run with its own settings, but {folder} differs: "
            f"{'; '.join(differing)}"
        )
    return run


def _check_data(config: RunConfig, dataset: Dataset) -> None:
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


def _make_strategy(name: StrategyName) -> tuple[tf.distribute.Strategy, bool]:
    """Return the strategy, and whether this process is the one that writes."""
    if name == "default":
        return tf.distribute.get_strategy(), True
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(), True
    if name == "multiworker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        is_chief = resolver.task_type in (None, "chief") or (
            resolver.task_type == "worker"
            and resolver.task_id == 0
            and "chief" not in resolver.cluster_spec().jobs
        )
        return strategy, is_chief
    raise ConfigError(f"strategy must be default, mirrored or multiworker, got {name!r}")


@contextmanager
def _interrupt_flag() -> Iterator[threading.Event]:
    """Turn SIGINT into a flag, so that a step is never cut in two."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread may handle signals
        return
    previous = signal.signal(signal.SIGINT, lambda *_: flag.set())
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
