"""Scores of images as a detector of what a model was not trained on."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.elbo import bits_per_dim, psnr, score_of
from cvae_edge.likelihoods import unit
from cvae_edge.model_config import require
from cvae_edge.runtime.inputs import STANDARD, NamedImages
from cvae_edge.runtime.model import EdgeCVAE
from cvae_edge.runtime.names import require_apart
from cvae_edge.writing import to_bytes, write_standard, write_text

_COLUMNS = ("elbo_at_mean", "elbo", "kl", "reconstruction", "iwae")  # those that there are


@dataclass(frozen=True)
class Scores:
    """Images and how likely the model finds them."""

    names: list[str]
    broken: dict[int, str]  # by index: why an image has no score; its bounds are NaN
    bounds: dict[str, NDArray[np.float64]]  # see ``EdgeCVAE.bounds``; each (n,). Where
    # pixels are not binary, psnr in dB; where they have 256 levels, bits_per_dim
    unit: str  # of the bounds
    threshold: float | None  # an image that scores below is an anomaly; None: not asked

    @property
    def scores(self) -> NDArray[np.float64]:
        """What the threshold is for; see ``EdgeCVAE.score``."""
        return score_of(self.bounds)

    @property
    def anomalies(self) -> int:
        """How many images are below the threshold."""
        return 0 if self.threshold is None else int((self.scores < self.threshold).sum())

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary an image: file, the bounds, and anomaly if there is a threshold.

        A broken image has file and error.
        """
        rows = []
        for i, name in enumerate(self.names):
            row: dict[str, Any] = {"file": name}
            if i in self.broken:
                rows.append(row | {"error": self.broken[i]})
                continue
            row |= {column: round(float(values[i]), 4) for column, values in self.bounds.items()}
            if self.threshold is not None:
                row["anomaly"] = bool(self.scores[i] < self.threshold)
            rows.append(row)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        of_all = {"unit": self.unit, "threshold": self.threshold, "anomalies": self.anomalies}
        return {**of_all, "images": self.rows()}


def score_images(
    model: EdgeCVAE,
    named: NamedImages,
    samples: int = 0,
    seed: int = 0,
    threshold: float | None = None,
) -> Scores:
    """Score images; see ``EdgeCVAE.bounds``, which says what else is raised.

    Raises:
        ConfigError: the threshold is NaN.
    """
    nan = threshold is not None and math.isnan(threshold)
    require(not nan, "threshold must be a number", threshold)
    bounds = model.bounds(named.images, samples, seed)
    columns = {column: bounds[column] for column in _COLUMNS if column in bounds}
    likelihood, pixels = model.manifest.likelihood, model.manifest.pixels
    if "squared_error" in bounds:
        columns["psnr"] = np.array([psnr(error) for error in bounds["squared_error"]])
    if likelihood.name == "logistic":
        elbo = bounds["elbo" if samples else "elbo_at_mean"]
        columns["bits_per_dim"] = bits_per_dim(elbo, model.image_shape)
    rows = {column: named.in_rows(values) for column, values in columns.items()}
    nats = unit(likelihood.name, pixels.binarize)
    return Scores(named.names, named.broken, rows, nats, threshold)


def fit_threshold(scores: NDArray[np.float64], percentile: float) -> float:
    """Return the score that ``percentile`` % of ``scores``, of images as they should be, are below.

    Raises:
        ConfigError: percentile is outside of 0 to 100.
    """
    require(0 <= percentile <= 100, "percentile must be in [0, 100]", percentile)
    return float(np.percentile(scores, percentile))


def write_scores(out: str, scores: Scores, inputs: Sequence[str] = ()) -> None:
    """Write a .csv, one line an image; - is standard output.

    Raises:
        DataError: ``out`` is one of ``inputs``, which must not be overwritten.
        OSError: it cannot be written.
    """
    require_apart([Path(out)], inputs)
    rows = scores.rows()
    text = io.StringIO()
    columns = ["file", *scores.bounds, *(["anomaly"] if scores.threshold is not None else [])]
    writer = csv.DictWriter(text, [*columns, "error"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if out == STANDARD:
        write_standard(to_bytes(text.getvalue()))
    else:
        write_text(Path(out), text.getvalue())
