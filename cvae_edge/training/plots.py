"""The run folder's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cvae_edge.codec import Codec
from cvae_edge.datasets import Dataset
from cvae_edge.images import over_white, to_pixels
from cvae_edge.likelihoods import unit
from cvae_edge.preprocess import draw_binary, threshold, to_float
from cvae_edge.training.run import Run
from cvae_edge.writing import new_file

RECONSTRUCTIONS = "reconstructions.png"

COLUMNS = 10
_DPI = 120


def draw_run(run: Run, codec: Codec, dataset: Dataset) -> None:
    """Draw the curve, and images that were not trained on, through the current weights."""
    nats = unit(run.config.train.likelihood, dataset.binarize)
    draw_training_curve(run.history(), run.folder / "training-curve.png", nats)
    draw_reconstructions(codec, dataset, run.folder)


def draw_training_curve(
    history: Sequence[dict[str, float]], path: Path, unit: str = "nats"
) -> None:
    """Draw the ELBO over the epochs, on training and on validation images."""
    figure = Figure(figsize=(6, 3.75), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row["train_elbo"] for row in history], ".-", label="train (while it learns)")
    if not all(np.isnan(row["validation_elbo"]) for row in history):
        axes.plot(epochs, [row["validation_elbo"] for row in history], ".-", label="validation")
    axes.set(xlabel="epoch", ylabel=f"ELBO, {unit} per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with new_file(path, durable=False) as file:
        figure.savefig(file, format="png", dpi=_DPI)


def draw_reconstructions(codec: Codec, dataset: Dataset, folder: Path) -> None:
    """Draw rows of held-out images, the model's inputs, and its reconstructions.

    What is shown of pixels that stay grey or colour is the image and its reconstruction through the
    posterior's mean; binary pixels are shown beside what they come from.

    Args:
        codec: the trained networks.
        dataset: its validation images are drawn, or test images if there are none.
        folder: for reconstructions.png.
    """
    split = dataset.validation if len(dataset.validation) else dataset.test
    images = split.images[:COLUMNS]
    x = draw_binary(images, dataset.binarize)
    mean, _ = codec.encode(x)
    x_recon = codec.images(mean)
    rows = {"original": to_float(images)}
    if dataset.binarize != "none":
        rows["binarized"] = x
    rows["reconstruction"] = x_recon
    if dataset.binarize != "none":
        rows["binarized\nreconstruction"] = threshold(x_recon)
    figure = Figure(figsize=(len(images) + 1.2, len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(images), squeeze=False)
    for axes_row, (title, row) in zip(grid, rows.items(), strict=True):
        axes_row[0].set_ylabel(title, rotation=0, ha="right", va="center")
        for axes, image in zip(axes_row, over_white(to_pixels(row)), strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
    with new_file(folder / RECONSTRUCTIONS, durable=False) as file:
        figure.savefig(file, format="png", dpi=_DPI)
