"""What networks of integers lost before and after tuning, as a table; the README has it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import record

_UNITS = {"elbo": "{:+.3f} nats", "psnr": "{:+.3f} dB", "bits_per_dim": "{:+.5f} bits"}


def tuning_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each pairing of files: not tuned, tuned, beside float32 trained on."""
    parts = ("before", "after", "beside_trained_on")
    rows = [
        (run["run"], format, name, *(words(found[part][name]) for part in parts))
        for run in runs
        for format, found in run["formats"].items()
        for name in found["after"]
    ]
    columns = ("run", "format", "files", "not tuned", "tuned", "tuned, beside float32 trained on")
    return record.markdown_table(columns, rows)


def time_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each pair of networks: what tuning it took, and training beside it."""
    rows = []
    for run in runs:
        for format, found in run["formats"].items():
            seconds, epoch = found["processor_seconds"], found["epoch_processor_seconds"]
            share = seconds / (epoch * run["training_epochs"])
            cells = (f"{seconds:.0f}", f"{epoch:.0f}", f"{share:.0%}")
            rows.append((run["run"], format, found["tuning"].get("steps", 0), *cells))
    columns = (
        "run", "format", "steps", "processor seconds", "an epoch of training", "of the training",
    )  # fmt: skip
    return record.markdown_table(columns, rows)


def words(difference: Mapping[str, float]) -> str:
    """Return what ``Evaluation`` has of two evaluations' difference, with units."""
    return ", ".join(_UNITS[name].format(value) for name, value in difference.items())
