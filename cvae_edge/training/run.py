"""The run folder: what a training leaves, and what continues it::

    config.json           model, data and train, as they were asked for; written when all that
                          --resume needs is there
    data.json             where the data is, and size and SHA-256 of its files
    run.lock              there while a process writes the folder
    architecture.json     the layers of both networks
    history.csv           one row an epoch
    checkpoints/          weights, optimizer and step of the last epoch
    best.weights.npz      the weights to use: the best by validation ELBO, or the last; the
                          likelihood's scale, and the prior that was fitted to their latents
    summary.json          written when training has ended, and only then
    training-curve.png  reconstructions.png

A file is written whole, or not at all.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.errors import ConfigError, RunError, RunWarning
from cvae_edge.likelihoods import Likelihood
from cvae_edge.regular_files import read_regular
from cvae_edge.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
    MAX_TEXT,
    check_new,
    locate_data,
    read_json,
    record_data,
)
from cvae_edge.training.weights_file import read_weights, write_weights
from cvae_edge.writing import write_text

if TYPE_CHECKING:
    from cvae_edge.architectures.flow import Flow
    from cvae_edge.architectures.vae import VAE

FORMAT_VERSION = 2
_ARCHITECTURE = "architecture.json"
_WEIGHTS = "best.weights.npz"
_HISTORY = "history.csv"
COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "train_elbo",
    "train_reconstruction",
    "train_kl",
    "validation_elbo",
    "seconds",
)


@dataclass(frozen=True)
class RunConfig:
    """Everything that a training follows from."""

    model: ModelConfig
    data: DataConfig
    train: TrainConfig

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        parts = {"model": self.model, "data": self.data, "train": self.train}
        return {name: part.to_dict() for name, part in parts.items()}


class Run:
    """A folder with the files above; it exists once ``create`` or ``open`` has returned."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder = folder
        self.config = config
        self.checkpoints = folder / CHECKPOINTS

    @classmethod
    def create(cls, folder: Path, config: RunConfig, vae: VAE) -> Run:
        """Start a new run of ``vae`` in ``folder``; ``begin`` makes it one that can be opened.

        Raises:
            RunError: something is there already; see ``check_new``.
        """
        check_new(folder, config.data.source)
        run = cls(folder, config)
        run._write_json(_ARCHITECTURE, vae.architecture())
        record_data(folder, config.data.source)
        return run

    def begin(self) -> None:
        """Write config.json, last of all that --resume needs."""
        self._write_json(CONFIG, {"format_version": FORMAT_VERSION, **self.config.to_dict()})

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open the run in ``folder``, finished or not.

        Raises:
            RunError: there is none, or its config cannot be read.
        """
        folder = Path(folder)
        path = folder / CONFIG
        if not path.is_file():
            raise RunError(
                f"{folder} is no run folder: it has no config.json; cvae-edge train makes one"
            )
        fields = read_json(path)
        if fields.pop("format_version", None) != FORMAT_VERSION:
            raise RunError(f"{path} must have format_version {FORMAT_VERSION}")
        try:
            config = RunConfig(
                ModelConfig.from_dict(fields["model"]),
                DataConfig.from_dict(fields["data"]),
                TrainConfig.from_dict(fields["train"]),
            )
        except (KeyError, ConfigError) as error:
            raise RunError(f"{path} is damaged: {error}") from error
        return cls(folder, config)

    def networks(self) -> VAE:
        """Build the run's model, with weights that are still to be set.

        Raises:
            RunError: its description is damaged, or is not that of the run's images and latents.
        """
        from cvae_edge.architectures.vae import VAE

        path, model = self.folder / _ARCHITECTURE, self.config.model
        vae = VAE.from_architecture(read_json(path))
        if (vae.image_shape, vae.latent_dim) != (model.image_shape, model.latent_dim):
            raise RunError(f"{path} is not what {CONFIG} says: one is damaged")
        return vae

    def vae(self) -> VAE:
        """Build the run's model, with the weights to use.

        Warns:
            RunWarning: the training has not ended.

        Raises:
            RunError: no epoch has ended, or the weights are damaged.
        """
        weights, _ = self.read_weights()
        if self.summary is None:
            done, wanted = len(self.history()), self.config.train.epochs
            warnings.warn(
                f"{self.folder} is unfinished, {done} of {wanted} epochs, and its best weights so "
                f"far are taken: cvae-edge train --resume --out {self.folder} goes on",
                RunWarning,
                stacklevel=2,
            )
        vae = self.networks()
        vae.load_weights(weights)
        return vae

    def data(self, source: str | None = None) -> DataConfig:
        """Return the run's data, where it is now or at ``source``."""
        found = source or locate_data(self.folder, self.config.data.source)
        return dataclasses.replace(self.config.data, source=found)

    def likelihood(self) -> Likelihood:
        """Return the likelihood with the scale that belongs to the weights to use."""
        return self.read_weights()[1]

    @property
    def summary(self) -> dict[str, Any] | None:
        """What the training ended with; None while it has not ended, or is to go on."""
        path = self.folder / "summary.json"
        if not path.exists():
            return None
        summary, epochs = read_json(path), self.config.train.epochs
        return summary if summary.get("epochs", epochs) == epochs else None

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, which makes the run a finished one."""
        self._write_json("summary.json", summary)

    def history(self) -> list[dict[str, float]]:
        """Return the epochs so far; a missing value (no validation images) is NaN."""
        try:
            return [
                {name: float(row[name] or "nan") for name in COLUMNS}
                for row in csv.DictReader(self._history_lines())
            ]
        except (csv.Error, KeyError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{self.folder / _HISTORY} is damaged: {error!r}") from error

    def start_history(self, epochs: int) -> None:
        """Keep the first ``epochs`` rows, which a checkpoint has, and drop what came after."""
        rows = self._history_lines()[1 : 1 + epochs]
        write_text(self.folder / _HISTORY, "\n".join([",".join(COLUMNS), *rows]) + "\n")

    def append_history(self, row: Mapping[str, float]) -> None:
        """Append one epoch and have it on the disk when this returns."""
        lines = [*self._history_lines(), ",".join(str(row[name]) for name in COLUMNS)]
        write_text(self.folder / _HISTORY, "\n".join(lines) + "\n")

    def _history_lines(self) -> list[str]:
        """Return the lines of history.csv, that of its columns first; none if it is not there."""
        path = self.folder / _HISTORY
        if not path.exists():
            return []
        try:
            return read_regular(path, MAX_TEXT).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path} is damaged: {error}") from error

    def save_weights(
        self,
        weights: Mapping[str, NDArray[np.float32]],
        likelihood: Likelihood,
        flow: Flow | None = None,
    ) -> None:
        """Write best.weights.npz, replacing the old one and its prior when the new one is whole."""
        write_weights(self.folder / _WEIGHTS, weights, likelihood, flow)

    def read_weights(self) -> tuple[dict[str, NDArray[np.float32]], Likelihood]:
        """Read best.weights.npz: the weights by name, and the likelihood that belongs to them.

        Raises:
            RunError: it is missing, damaged, or holds NaN.
        """
        kept = read_weights(self.folder / _WEIGHTS, self.config.train.likelihood)
        return kept.weights, kept.likelihood

    def flow(self) -> Flow | None:
        """Return the prior that belongs to the weights to use; None if it is the standard normal.

        Raises:
            RunError: it is damaged, or another model's.
        """
        from cvae_edge.architectures.flow import parse_flow

        kept = read_weights(self.folder / _WEIGHTS, self.config.train.likelihood)
        return parse_flow(kept.prior, self.config.model.latent_dim) if kept.prior else None

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        write_text(self.folder / name, json.dumps(content, indent=2) + "\n")
