"""The run folder's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cvae_edge.images import THRESHOLD, to_float

COLUMNS = 10
_DPI = 120


def draw_training_curve(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draw the ELBO over the epochs, on training and on validation images."""
    figure = Figure(figsize=(6, 3.75), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row["train_elbo"] for row in history], ".-", label="train (while it learns)")
    if not all(np.isnan(row["validation_elbo"]) for row in history):
        axes.plot(epochs, [row["validation_elbo"] for row in history], ".-", label="validation")
    axes.set(xlabel="epoch", ylabel="ELBO, nats per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=_DPI)


def draw_reconstructions(
    images: NDArray[Any], x: NDArray[np.float32], x_recon: NDArray[np.float32], path: Path
) -> None:
    """Draw rows of originals, what the model saw of them, and what it made of that.

    Args:
        images: (n, h, w, c) as they are in the data set.
        x: the same, binarized.
        x_recon: the decoder's probabilities.
        path: the PNG to write.
    """
    rows = {
        "original": to_float(images),
        "binarized": x,
        "reconstruction": x_recon,
        "binarized\nreconstruction": (x_recon >= THRESHOLD).astype(np.float32),
    }
    figure = Figure(figsize=(len(images) + 1.2, len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(images), squeeze=False)
    for axes_row, (title, row) in zip(grid, rows.items(), strict=True):
        axes_row[0].set_ylabel(title, rotation=0, ha="right", va="center")
        for axes, image in zip(axes_row, row, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=_DPI)
