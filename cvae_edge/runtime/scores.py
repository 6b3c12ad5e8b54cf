"""Scores of images as a detector of what a model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.elbo import bits_per_dim, psnr, score_of
from cvae_edge.errors import BundleError
from cvae_edge.fitting import Fitted
from cvae_edge.images import write_image
from cvae_edge.likelihoods import unit
from cvae_edge.model_config import require
from cvae_edge.monitor.pictures import Box, boxes, overlay
from cvae_edge.runtime.inputs import ImageStream, NamedImages
from cvae_edge.runtime.model import EdgeCVAE
from cvae_edge.runtime.names import output_names, require_apart

_COLUMNS = ("elbo_at_mean", "elbo", "kl", "reconstruction", "iwae")  # those that there are
_BATCH = 256  # images whose heat maps are held together


@dataclass(frozen=True)
class Scores:
    """Images and how unlike good ones they are."""

    names: list[str]
    broken: dict[int, str]  # by index: why an image has no score; its values are NaN
    score: NDArray[np.float64]  # (n,), high is anomalous: the monitor's or, without one, less the
    # bound that says how likely the model finds the image
    bounds: dict[str, NDArray[np.float64]]  # see ``EdgeCVAE.bounds``; each (n,). Where
    # pixels are not binary, psnr in dB; where they have 256 levels, bits_per_dim
    unit: str  # of the bounds
    threshold: float | None  # an image that scores above is an anomaly; None: not asked
    boxes: dict[int, list[Box]] | None = None  # by index: where; None: not asked

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Which images are above the threshold, (n,)."""
        return self.score > (np.inf if self.threshold is None else self.threshold)

    @property
    def anomalies(self) -> int:
        """How many images are above the threshold."""
        return int(self.anomalous.sum())

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary an image: file, score, anomalous if asked, bounds, boxes if asked.

        A broken image has file and error.
        """
        rows = []
        for i, name in enumerate(self.names):
            row: dict[str, Any] = {"file": name}
            if i in self.broken:
                rows.append(row | {"error": self.broken[i]})
                continue
            row["score"] = round(float(self.score[i]), 4)
            if self.threshold is not None:
                row["anomalous"] = bool(self.anomalous[i])
            row |= {column: round(float(values[i]), 4) for column, values in self.bounds.items()}
            if self.boxes is not None:
                row["boxes"] = [box._asdict() for box in self.boxes[i]]
            rows.append(row)
        return rows


def score_images(
    model: EdgeCVAE,
    named: NamedImages,
    samples: int = 0,
    seed: int = 0,
    least: float | None = None,
) -> Scores:
    """Score images by how likely the model finds them.

    Args:
        model: the model.
        named: the images, of the model's shape.
        samples, seed: as in ``EdgeCVAE.bounds``, which says what else is raised.
        least: an image whose bound is lower is anomalous.

    Raises:
        ConfigError: ``least`` is NaN.
    """
    nan = least is not None and math.isnan(least)
    require(not nan, "threshold must be a number", least)
    bounds = model.bounds(Fitted(named.images), samples, seed)
    return Scores(
        named.names,
        named.broken,
        named.in_rows(-score_of(bounds)),
        _columns(model, named, bounds),
        unit(model.manifest.likelihood.name, model.manifest.pixels.binarize),
        None if least is None else -least,
    )


def judge_images(
    model: EdgeCVAE,
    named: NamedImages,
    samples: int = 0,
    seed: int = 0,
    pictures: Sequence[Path] = (),
    with_boxes: bool = False,
) -> Scores:
    """Score images by the model's monitor.

    Args:
        model: the model, whose bundle has a monitor.
        named: the images, of the monitor's shape; windows of larger ones have no bounds.
        samples, seed: of the bounds, as in ``EdgeCVAE.bounds``.
        pictures: a file for the heat map of each name; or none.
        with_boxes: tell where images are above what good ones show.

    Raises:
        BundleError: there is no monitor for these files.
        DataError: a picture cannot be written.
    """
    monitor, kept = model.monitor, named.kept()
    score = np.empty(len(kept))
    found: dict[int, list[Box]] | None = {} if with_boxes and monitor.maps else None
    same = monitor.settings.image_shape == model.image_shape
    parts: list[dict[str, NDArray[np.float64]]] = []
    for low in range(0, len(kept), _BATCH):
        x = named.images[low : low + _BATCH]
        with_heat = bool(pictures) or found is not None
        verdicts = monitor.check(Fitted(x), with_heat, bounds=same and samples == 0)
        score[low : low + len(x)] = verdicts.score
        parts.append(verdicts.bounds)
        heat = () if verdicts.heat is None else verdicts.heat
        for i, image, map_ in zip(kept[low:], x, heat, strict=False):
            if found is not None:
                found[i] = boxes(map_)
            if pictures:
                write_image(pictures[i], overlay(image, map_), durable=False)
    bounds = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if same and samples:
        bounds = model.bounds(Fitted(named.images), samples, seed)
    return Scores(
        named.names,
        named.broken,
        named.in_rows(score),
        _columns(model, named, bounds),
        unit(model.manifest.likelihood.name, model.manifest.pixels.binarize),
        1.0,
        found,
    )


def judge_stream(
    model: EdgeCVAE,
    stream: ImageStream,
    samples: int = 0,
    seed: int = 0,
    heatmaps: str | None = None,
    with_boxes: bool = False,
) -> Iterator[Scores]:
    """Give what ``judge_images`` says of each chunk of images.

    Args:
        heatmaps: a folder for a picture an image, called as the image is.

    Raises:
        BundleError: as in ``judge_images``; or the monitor has no heat maps.
        DataError: as in ``judge_images``; or a picture would be one of the images.
    """
    monitor = model.monitor
    if heatmaps is not None and not monitor.maps:
        raise BundleError(
            f"heat maps need a monitor that looks at places, the bundle's is of the method "
            f"{monitor.settings.method}: fit one with --method field"
        )
    names = [] if heatmaps is None else output_names(list(stream.paths()))
    pictures = [Path(heatmaps or "", f"{name}.png") for name in names]
    require_apart(pictures, stream.inputs())
    row = stream.skipped
    for named in stream:
        end = row + len(named.names)
        yield judge_images(model, named, samples, seed, pictures[row:end], with_boxes)
        row = end


def _columns(
    model: EdgeCVAE, named: NamedImages, bounds: dict[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of the bounds, a row for each name."""
    columns = {column: bounds[column] for column in _COLUMNS if column in bounds}
    if "squared_error" in bounds:
        columns["psnr"] = np.array([psnr(error) for error in bounds["squared_error"]])
    if bounds and model.manifest.likelihood.name == "logistic":
        elbo = bounds.get("elbo", bounds.get("elbo_at_mean"))
        columns["bits_per_dim"] = bits_per_dim(elbo, model.image_shape)
    return {column: named.in_rows(values) for column, values in columns.items()}


def fit_threshold(scores: NDArray[np.float64], percentile: float) -> float:
    """Return the score that ``percentile`` % of ``scores``, of images as they should be, are below.

    Raises:
        ConfigError: percentile is outside of 0 to 100.
    """
    require(0 <= percentile <= 100, "percentile must be in [0, 100]", percentile)
    return float(np.percentile(scores, percentile))
