"""The epochs: steps, checkpoints, the best weights, and stopping between two steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.architectures.vae import VAE
from cvae_edge.datasets import Dataset
from cvae_edge.elbo import evaluate
from cvae_edge.errors import RunError, TrainingError
from cvae_edge.interruption import Interruption, interruption
from cvae_edge.likelihoods import Likelihood
from cvae_edge.training import plots
from cvae_edge.training.averaging import averaged_weights
from cvae_edge.training.evaluate import trained_codec
from cvae_edge.training.layer_state import LayerState
from cvae_edge.training.prior import Interrupted, OnStep, fit_prior
from cvae_edge.training.run import Run
from cvae_edge.training.run_folder import sweep_checkpoints
from cvae_edge.training.scale import make_scale, trained_variables
from cvae_edge.training.step import make_optimizer, make_step
from cvae_edge.training.summary import fit_on, summarize

_LOG = logging.getLogger(__name__)

_KEPT_CHECKPOINTS = 2  # one is whole while the other is being written


@dataclass(frozen=True)
class Progress:
    """Where a training stands, after each step."""

    epoch: int  # from 1
    epochs: int
    step: int  # steps done, of all epochs
    steps: int
    train_elbo: float  # mean over the epoch so far


class Stopped(Exception):  # noqa: N818 - a request that was met, not an error
    """Training stopped because a signal asked for it; everything is saved."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class Loop:
    """A training of ``run``'s config on ``dataset``.

    Everything random is a function of (seed, step), and a checkpoint holds all else, so that a
    loop that starts from one does what the loop that wrote it would have done.
    """

    def __init__(
        self,
        run: Run,
        vae: VAE,
        dataset: Dataset,
        strategy: tf.distribute.Strategy,
        is_chief: bool,
    ) -> None:
        """Take a run and its networks, made in the strategy's scope."""
        self._run, self._dataset, self._is_chief = run, dataset, is_chief
        self._config = config = run.config.train
        self._steps_per_epoch = len(dataset.train) // config.batch_size
        self.vae = vae
        with strategy.scope():
            scale = make_scale(vae, config)
            self._optimizer = make_optimizer(vae, scale, config, self._steps_per_epoch)
            momentum = self._optimizer.ema_momentum if self._optimizer.use_ema else None
            self._state = LayerState(vae, momentum)
        self._train_step = make_step(
            vae, scale, self._optimizer, config, dataset.binarize, strategy, self._state
        )
        self._trained, self._codec = trained_variables(vae, scale), trained_codec(vae)
        self._step = tf.Variable(0, dtype=tf.int64)  # steps done
        self._totals = tf.Variable(np.zeros(3))  # sums of their results over the epoch
        self._seconds = tf.Variable(0.0, dtype=tf.float64)  # spent on the epoch
        self._best = tf.Variable(-np.inf, dtype=tf.float64)  # validation ELBO
        self._checkpoint = tf.train.Checkpoint(
            encoder=self.vae.encoder,
            decoder=self.vae.decoder,
            optimizer=self._optimizer,
            step=self._step,
            totals=self._totals,
            seconds=self._seconds,
            best=self._best,
            **({} if scale is None else {"scale": scale}),
            **({"averages": self._state.averages} if self._state.averages else {}),
        )
        # Every worker reads the chief's checkpoints; only the chief writes.
        try:
            self._manager = tf.train.CheckpointManager(
                self._checkpoint, str(run.checkpoints), max_to_keep=_KEPT_CHECKPOINTS
            )
        except (tf.errors.OpError, ValueError) as error:
            raise RunError(f"{run.checkpoints} is damaged: {error}") from error

    def fit(
        self,
        on_progress: Callable[[Progress], None],
        on_epoch: Callable[[dict[str, float]], None],
        on_prior: OnStep,
    ) -> None:
        """Train to the last epoch, from the last checkpoint if there is one, and fit the prior.

        Raises:
            TrainingError: the loss became NaN or infinite.
            Stopped: SIGINT or SIGTERM came, and the step it came in is done and saved.
        """
        with interruption() as asked:
            self._restore()
            epochs_done = int(self._step.numpy()) // self._steps_per_epoch
            for epoch in range(epochs_done, self._config.epochs):
                self._train_epoch(epoch, on_progress, asked)
                on_epoch(self._end_epoch(epoch))
                if asked.signal is not None:
                    raise Stopped(asked.signal)
            if self._is_chief:
                self._finish(asked, on_prior)

    def _train_epoch(
        self, epoch: int, on_progress: Callable[[Progress], None], asked: Interruption
    ) -> None:
        order = noise.permutation(len(self._dataset.train), self._config.seed, epoch)
        batches = order[: self._steps_per_epoch * self._config.batch_size].reshape(
            self._steps_per_epoch, -1
        )
        base = epoch * self._steps_per_epoch
        totals, before = self._totals.numpy(), float(self._seconds.numpy())
        started = time.monotonic()
        for i in range(int(self._step.numpy()) - base, self._steps_per_epoch):
            result = self._train_step(self._dataset.train.images[batches[i]], base + i)
            if not np.isfinite(result).all():
                raise self._diverged(epoch, base + i)
            totals += result
            elbo = float(totals[1] - totals[2]) / (i + 1)
            epochs = self._config.epochs
            steps = epochs * self._steps_per_epoch
            on_progress(Progress(epoch + 1, epochs, base + i + 1, steps, elbo))
            if asked.signal is not None and i + 1 < self._steps_per_epoch:
                self._save(base + i + 1, totals, before + time.monotonic() - started)
                raise Stopped(asked.signal)
        self._totals.assign(totals)
        self._seconds.assign(before + time.monotonic() - started)

    def _end_epoch(self, epoch: int) -> dict[str, float]:
        """Validate, keep the best weights, log, save; return the history's row."""
        step = (epoch + 1) * self._steps_per_epoch
        _, reconstruction, kl = self._totals.numpy() / self._steps_per_epoch
        with averaged_weights(self._optimizer, self._trained, self._state):
            self._check_weights(epoch)
            likelihood = fit_on(self._codec, self._dataset, self._config.likelihood)
            validation_elbo = self._validate(epoch, likelihood)
            row = {
                "epoch": epoch + 1,
                "step": step,
                "learning_rate": float(np.float32(self._optimizer.learning_rate)),
                "train_elbo": float(reconstruction - kl),
                "train_reconstruction": float(reconstruction),
                "train_kl": float(kl),
                "validation_elbo": validation_elbo,
                "seconds": round(float(self._seconds.numpy()), 2),
            }
            better = validation_elbo > float(self._best.numpy())
            if better:
                self._best.assign(validation_elbo)
            if self._is_chief:
                if better or np.isnan(validation_elbo):
                    self._run.save_weights(self.vae.weights(), likelihood)
                self._run.append_history(row)
                if better:
                    plots.draw_run(self._run, self._codec, self._dataset)
        self._save(step, np.zeros(3), 0.0)
        _LOG.info("%s: %s", self._run.folder, row)
        return row

    def _check_weights(self, epoch: int) -> None:
        """The last step's gradient may have broken weights whose loss was still finite."""
        if not all(np.isfinite(value).all() for value in self.vae.weights().values()):
            raise self._diverged(epoch, (epoch + 1) * self._steps_per_epoch - 1)

    def _validate(self, epoch: int, likelihood: Likelihood) -> float:
        """Return the validation ELBO; NaN where no images are held out."""
        images = self._dataset.validation.images
        if not len(images):
            return float("nan")
        elbo = evaluate(self._codec, images, self._dataset.binarize, likelihood).elbo
        if not np.isfinite(elbo):
            raise self._diverged(epoch, (epoch + 1) * self._steps_per_epoch - 1)
        return elbo

    def _restore(self) -> None:
        latest = self._manager.latest_checkpoint
        if latest:
            try:
                self._checkpoint.restore(latest).assert_consumed()
            except (tf.errors.OpError, ValueError, LookupError, AssertionError) as error:
                raise RunError(f"{self._run.checkpoints} is damaged: {error}") from error
        elif self._is_chief and any(self._run.checkpoints.glob("*.index")):
            raise RunError(f"{self._run.checkpoints} is damaged: its file checkpoint names none")
        else:
            self._save(0, np.zeros(3), 0.0)  # the first weights may be a caller's own
        if self._is_chief:
            sweep_checkpoints(self._run.checkpoints, self._manager.checkpoints)
            self._run.begin()
            self._run.start_history(int(self._step.numpy()) // self._steps_per_epoch)

    def _save(self, step: int, totals: NDArray[np.float64], seconds: float) -> None:
        self._step.assign(step)
        self._totals.assign(totals)
        self._seconds.assign(seconds)
        if self._is_chief:
            try:
                self._manager.save(checkpoint_number=step)
            except tf.errors.OpError as error:
                raise RunError(
                    f"{self._run.checkpoints} cannot be written: {error.message}"
                ) from error

    def _diverged(self, epoch: int, step: int) -> TrainingError:
        return TrainingError(
            f"the loss became NaN or infinite in epoch {epoch + 1}, step {step + 1}: try a lower "
            f"--learning-rate than {self._config.learning_rate:g}; the weights saved in "
            f"{self._run.folder} before are kept"
        )

    def _finish(self, asked: Interruption, on_prior: OnStep) -> None:
        """Fit a prior to the weights that are kept, evaluate them, and close the run."""
        weights, likelihood = self._run.read_weights()
        self.vae.load_weights(weights)
        dataset, history = self._dataset, self._run.history()
        fitted = None
        if self._config.prior == "flow":
            try:
                fitted = fit_prior(self._codec, dataset, self._config, on_prior, asked)
            except Interrupted as error:
                raise Stopped(error.signal) from error
            self._run.save_weights(weights, likelihood, fitted.flow)
        validated = [row["validation_elbo"] for row in history if len(dataset.validation)]
        plots.draw_run(self._run, self._codec, self._dataset)
        self._run.finish(
            {
                "epochs": self._config.epochs,
                "best_epoch": int(np.argmax(validated)) + 1 if validated else self._config.epochs,
                "validation_elbo": max(validated) if validated else None,
                **summarize(self.vae, dataset, likelihood, fitted),
                "seconds": round(sum(row["seconds"] for row in history), 1),
            }
        )
