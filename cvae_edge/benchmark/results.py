"""Results of a benchmark: a row for each configuration, and the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from cvae_edge.benchmark.plan import Configuration, Request
from cvae_edge.manifest import Manifest

Status = Literal["measured", "stopped", "failed"]  # stopped: interrupted before its last round


@dataclass
class Row:
    """One configuration's figures; None or empty where it failed before they were known."""

    configuration: Configuration
    size_bytes: int
    elbo: float | None  # nats per image, from the manifest, as are sizes
    loss: float | None  # nats of ELBO that the files take from the trained model
    budget: float  # what they may, ``elbo.loss_budget``
    status: Status = "stopped"
    message: str = ""  # why it failed
    runs_on: str = ""  # the runtime and provider that really ran
    load_ms: float | None = None  # to open the files, the runtime imported
    first_ms: float | None = None  # the first run
    memory_bytes: int | None = None  # resident, added by the runtime, the files and running them
    warm_up_runs: int = 0
    settled: bool = False  # whether the warm-up's median did
    runs: int = 0
    p50_ms: float = 0.0  # of a call, whatever its batch
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    images_per_second: float = 0.0
    on_device_ms: float | None = None  # p50 with inputs and outputs on the GPU
    rounds_ms: list[float] = field(default_factory=list)  # a median each
    # The same over the reference configuration's in the same round. A machine that slows down does
    # so for both, so these are what rows are compared by.
    relative: list[float] = field(default_factory=list)

    @property
    def image_ms(self) -> float:
        """Milliseconds an image."""
        return self.p50_ms / self.configuration.batch

    @property
    def name(self) -> str:
        """The files and how they were run, in words."""
        c = self.configuration
        on = "" if c.provider == "cpu" else f" on {c.provider}"
        return f"{c.name} with {c.threads} {'thread' if c.threads == 1 else 'threads'}{on}"


@dataclass(frozen=True)
class Noise:
    """What one configuration, run by two processes that took turns with all others, shows."""

    configuration: Configuration
    ratio: float  # the second process's time over the first's, median over rounds
    noise: float  # how far from 1 such a ratio lies and scatters: what is not reported


@dataclass
class Results:
    """A benchmark, whole or as far as it came."""

    source: str  # the bundle
    manifest: Manifest
    request: Request
    skipped: dict[str, str]
    machine: dict[str, Any]
    clock_seconds: float  # the clock's smallest step
    rows: list[Row] = field(default_factory=list)
    noise: dict[int, Noise] = field(default_factory=dict)  # by batch
    interrupted: int = 0  # the signal that ended it early

    def of(self, batch: int, *statuses: Status) -> list[Row]:
        """Return the rows of a batch in one of the states, as measured if none is named."""
        wanted = statuses or ("measured",)
        return [r for r in self.rows if r.configuration.batch == batch and r.status in wanted]


def spread(ratios: list[float]) -> float:
    """Return how uncertain the median of rounds' ratios is: 1.57 IQR / sqrt(n).

    That is the half-width of a box plot's notch, about a 95% interval of the median (McGill, Tukey
    and Larsen 1978, "Variations of Box Plots").
    """
    low, high = np.percentile(ratios, (25, 75))
    return float(1.57 * (high - low) / np.sqrt(len(ratios)))
