"""The bundle's card and its pictures, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvae_edge import noise
from cvae_edge.bundle import Artifact
from cvae_edge.exporters.subject import Subject
from cvae_edge.images import image_grid, write_image
from cvae_edge.runtime.graph import Graph

SAMPLES = "samples.png"
CARD = "README.md"
_SAMPLES = 64
_SCALE = 2


def draw_samples(decoder: Graph, latent_dim: int, folder: Path) -> None:
    """Write samples.png: 64 draws from the prior (stream 0) through an exported decoder."""
    x_logits = decoder(z=noise.standard_normal(_SAMPLES, latent_dim))["x_logits"]
    write_image(folder / SAMPLES, image_grid(1 / (1 + np.exp(-x_logits))), _SCALE)


def write_card(
    folder: Path, name: str, subject: Subject, artifacts: Sequence[Artifact], report: dict[str, Any]
) -> None:
    """Write README.md: what is in the bundle, how good it is, and how to use it."""
    (folder / CARD).write_text("\n".join(_lines(name, subject, artifacts, report)), "utf-8")


def _lines(
    name: str, subject: Subject, artifacts: Sequence[Artifact], report: dict[str, Any]
) -> list[str]:
    h, w, c = subject.config.image_shape
    return [
        f"# {name}",
        "",
        f"A convolutional VAE for {h}x{w}x{c} images with {subject.config.latent_dim} latent "
        f"dimensions, trained on {subject.dataset.name} ({subject.dataset.binarize} binarization). "
        f"The trained model's ELBO is {report['trained_elbo']:.3f} nats per image on "
        f"{report['images']} test images.",
        "",
        "![64 draws from the prior](samples.png)",
        "",
        *artifact_table(artifacts),
        "",
        "The encoder maps `x` to `mean` and `logvar`; z = mean + exp(logvar / 2) * eps; the "
        "decoder maps `z` to `x_logits`, whose sigmoid is the image. An artifact's ELBO is that of "
        "its file with the trained model's other half, on the trained model's images and noise.",
        "",
        "    cvae-edge verify .        # does this machine compute what it should?",
        "    cvae-edge generate . -n 64 --out samples.png",
        "",
    ]


def artifact_table(artifacts: Sequence[Artifact]) -> list[str]:
    """Return the lines of a Markdown table with a row for each artifact."""
    rows = [
        f"| {a.file} | {a.size_bytes / 1000:.0f} | {_number(a.elbo, '.3f')} "
        f"| {_number(a.elbo_difference, '+.4f')} "
        f"| {', '.join(f'{k} {v:.2g}' for k, v in a.difference.items())} |"
        for a in artifacts
    ]
    return [
        "| file | kB | ELBO, nats | from the trained model's | largest differences |",
        "| --- | --- | --- | --- | --- |",
        *rows,
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
