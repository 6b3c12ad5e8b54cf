"""What is exported: a finished run's networks, and the images they are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvae_edge.config import ModelConfig
from cvae_edge.datasets import Dataset, Split, load_dataset
from cvae_edge.errors import DataError
from cvae_edge.exporters.parity import IMAGES, Reference, make_reference
from cvae_edge.training.evaluate import TrainedCodec, load_trained
from cvae_edge.training.model import VAE, Weights
from cvae_edge.training.run import Run


@dataclass(frozen=True)
class Subject:
    """A trained model and its data."""

    run: Run
    vae: VAE
    weights: Weights
    trained: TrainedCodec
    dataset: Dataset
    reference: Reference  # the trained model on the first test images

    @property
    def config(self) -> ModelConfig:
        """The model's sizes."""
        return self.vae.config

    @property
    def choosing(self) -> Split:
        """The images that choices are made on: validation, or training images if there are none."""
        return self.dataset.validation if len(self.dataset.validation) else self.dataset.train

    def training(self) -> dict[str, Any]:
        """Return what the manifest tells of the training."""
        config = self.run.config.to_dict()
        return {"data": config["data"], "train": config["train"], **(self.run.summary or {})}


def load_subject(folder: Path) -> Subject:
    """Open a finished run.

    Raises:
        RunError: there is none, it is unfinished, or its weights are damaged or NaN.
        DataError: its data cannot be read, or is no longer of the model's shape.
    """
    run = Run.open(folder)
    vae = load_trained(run)
    dataset = load_dataset(run.config.data)
    if dataset.image_shape != vae.config.image_shape:
        raise DataError(
            f"the data of {folder} must have images of {vae.config.image_shape}, as the model was "
            f"trained on, got {dataset.image_shape}"
        )
    trained = TrainedCodec(vae)
    reference = make_reference(trained, dataset.test.images[:IMAGES], dataset.binarize)
    weights = {name: np.asarray(value) for name, value in vae.weights().items()}
    return Subject(run, vae, weights, trained, dataset, reference)
