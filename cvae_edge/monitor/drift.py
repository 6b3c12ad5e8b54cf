"""A day's scores beside those of the good images that a monitor was fitted on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import DataError
from cvae_edge.monitor.monitor import Monitor
from cvae_edge.monitor.rates import share_interval


class Drift(NamedTuple):
    """How many images were called anomalous, and whether that is what good images would give."""

    images: int
    alarms: int
    share: float
    interval: tuple[float, float]  # of the share, 95%
    asked: float  # share of good images that the monitor was fitted to call anomalous
    expected: tuple[float, float]  # where that share truly lies, 95%
    median: float  # of the scores; 0 where the monitor was fitted

    def sentence(self) -> str:
        """Say in words what the numbers are."""
        low, high = self.interval
        found = (
            f"{self.alarms} of {self.images} images are anomalous, {self.share:.2%} "
            f"({low:.2%} to {high:.2%}), "
        )
        if low > self.expected[1]:
            return f"{found}more than the {self.asked:.2%} that good images give: look at them"
        if high < self.expected[0]:
            return (
                f"{found}fewer than the {self.asked:.2%} that good images give: the images are not "
                "those that the monitor was fitted on"
            )
        return f"{found}as the {self.asked:.2%} that good images give"


def read_scores(path: Path) -> NDArray[np.float64]:
    """Return the scores in a .csv that ``cvae-edge score`` wrote with a monitor.

    Raises:
        DataError: it cannot be read, or holds none.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not rows or not {"score", "anomalous"} <= set(rows[0]):
        raise DataError(
            f"{path} must be a .csv with the columns score and anomalous, as cvae-edge score "
            "writes it for a bundle with a monitor"
        )
    try:
        scores = np.array([float(row["score"]) for row in rows if row["score"]])
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} must hold numbers as scores: {error}") from error
    if not len(scores) or not np.isfinite(scores).all():
        raise DataError(f"{path} must hold finite scores, got {len(scores)} numbers")
    return scores


def measure_drift(scores: NDArray[np.float64], monitor: Monitor) -> Drift:
    """Compare scores (n,) with those of the images that the monitor was fitted on."""
    alarms = int((scores > 1).sum())
    return Drift(
        len(scores),
        alarms,
        alarms / len(scores),
        share_interval(alarms, len(scores)),
        monitor.settings.false_alarms,
        monitor.fit.interval,
        float(np.median(scores)),
    )


def plot_drift(path: Path, scores: NDArray[np.float64], quantiles: Sequence[float]) -> None:
    """Draw both distributions: the share of images below each score.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    from cvae_edge.writing import new_file

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes: Any = figure.subplots()
    axes.plot(quantiles, np.linspace(0, 1, len(quantiles)), label="good images, when fitted")
    ordered = np.sort(scores)
    axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label="now")
    axes.axvline(1, color="grey", linestyle=":", label="threshold")
    axes.set(xlabel="score", ylabel="share of images with at most this score", ylim=(0, 1.02))
    axes.set_xlim(min(quantiles[0], ordered[0]), max(2.0, float(np.quantile(ordered, 0.99))))
    axes.legend()
    with new_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
