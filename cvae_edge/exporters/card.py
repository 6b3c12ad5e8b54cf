"""The bundle's card and its pictures, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvae_edge import noise
from cvae_edge.codec import Codec
from cvae_edge.elbo import BUDGET_RULE
from cvae_edge.exporters.build import Exported
from cvae_edge.exporters.card_details import (
    CardDetails,
    data_name,
    detail_sections,
    front_matter,
)
from cvae_edge.exporters.parity import Reference
from cvae_edge.images import image_grid, write_image
from cvae_edge.likelihoods import unit
from cvae_edge.manifest import Artifact, Manifest
from cvae_edge.markdown import markdown_table
from cvae_edge.sigmoid import sigmoid
from cvae_edge.writing import write_text

SAMPLES = "samples.png"
RECONSTRUCTIONS = "reconstructions.png"
CARD = "README.md"
_SAMPLES = 64
_COLUMNS = 8
_PRIOR = (
    " The prior is learned: `prior` maps normal noise `eps` to `z`, and `density` maps `z` back to "
    "`eps` and `log_det`: log p(z) = log N(eps; 0, I) + log_det. ELBOs take that. A prior's "
    "difference is that of its draws' log p(z)."
)
_SCALE = 2


def draw_samples(exported: Sequence[Exported], latent_dim: int, folder: Path) -> None:
    """Write samples.png: 64 draws from the prior (stream 0) through exported float32 files."""
    graphs = {e.artifact.role: e.graph for e in reversed(exported)}
    codec = Codec(decoder=graphs["decoder"], prior=graphs.get("prior"))
    images = codec.images(codec.draw(noise.standard_normal(_SAMPLES, latent_dim)))
    write_image(folder / SAMPLES, image_grid(images), _SCALE)


def draw_reconstructions(
    exported: Sequence[Exported], reference: Reference, folder: Path
) -> list[str]:
    """Write reconstructions.png, the same 8 images in every row, and return the rows' names."""
    part = reference.take(_COLUMNS)
    rows = {"original": part.tensors["x"], "trained model": part.tensors["x_recon"]}
    for e in exported:
        name = e.artifact.file
        outputs = e.graph(**part.inputs(e.artifact.role))
        if e.artifact.role == "decoder":
            rows[name] = sigmoid(outputs["x_logits"])
        elif e.artifact.role == "reconstruct":
            rows[name] = np.clip(outputs["x_recon"], 0, 1)
    n = len(part.tensors["x"])
    grid = image_grid(np.concatenate(list(rows.values())), columns=n)
    write_image(folder / RECONSTRUCTIONS, grid, _SCALE)
    return list(rows)


def write_card(folder: Path, manifest: Manifest, rows: Sequence[str], details: CardDetails) -> None:
    """Write README.md: what is in the bundle, what each file costs, and how to use it."""
    h, w, c = manifest.model.image_shape
    report = manifest.report
    nats = unit(manifest.likelihood.name, manifest.pixels.binarize)
    grey = manifest.pixels.binarize == "none"
    psnr = f" Its reconstructions have a PSNR of {report['trained_psnr']:.2f} dB." if grey else ""
    unknown = {u for a in manifest.artifacts for u in a.report.get("unknown_layers", ())}
    lines = [
        *front_matter(manifest, details),
        f"# {manifest.name}",
        "",
        f"A convolutional VAE for {h}x{w}x{c} images with {manifest.model.latent_dim} latent "
        f"dimensions, trained on {data_name(manifest)} (binarization: "
        f"{manifest.pixels.binarize}) with the likelihood {manifest.likelihood.name}. The trained "
        f"model's ELBO is {report['trained_elbo']:.3f} {nats} per image on {report['images']} test "
        f"images.{psnr}",
        "",
        f"![64 draws from the prior]({SAMPLES})",
        "",
        "    cvae-edge verify .        # does this machine compute what it should?",
        "    cvae-edge generate . -n 64 --out more.png",
        "",
        "The encoder maps `x` to `mean` and `logvar`; z = mean + exp(logvar / 2) * eps; the "
        "decoder maps `z` to `x_logits`, whose sigmoid is the image. `reconstruct` does all of it, "
        "from `x` and `eps` to `x_recon`." + (_PRIOR if _has_prior(manifest) else ""),
        "",
        *detail_sections(details),
        "## Files",
        "",
        "ELBO: of the file with the trained model's other half, less the trained model's, on the "
        "same images and noise. Times: medians for one image on one thread of the machine that "
        "exported. A file that lost more than "
        f"{report['loss_budget']:.3g} nats was left out; without --max-elbo-drop that is "
        f"{BUDGET_RULE}.",
        "",
        artifact_table(manifest.artifacts),
        *(
            f"- {artifact.report[note]}."
            for artifact in manifest.artifacts
            for note in ("slower", "needs_trust")
            if note in artifact.report
        ),
        *(f"- {name} was left out: {why}." for name, why in report["failures"].items()),
        *(f"- The layer {name} is exported as Keras exports it, in float." for name in unknown),
        "",
        "## Pairs",
        "",
        pair_table(report["pairs"]),
        *(f"- {note}" for note in report["notes"]),
        "",
        f"![the same images through every file]({RECONSTRUCTIONS})",
        "",
        f"Rows: {', '.join(rows)}.",
        "",
    ]
    write_text(folder / CARD, "\n".join(lines))


def _has_prior(manifest: Manifest) -> bool:
    return any(a.role == "prior" for a in manifest.artifacts)


def artifact_table(artifacts: Sequence[Artifact]) -> str:
    """Return a Markdown table with a row for each artifact."""
    columns: dict[str, Callable[[Artifact], str]] = {
        "file": lambda a: a.file,
        "lowering": lambda a: a.lowering or "",
        "kB": lambda a: f"{a.size_bytes / 1000:.0f}",
        "ELBO difference, nats": lambda a: _number(a.elbo_difference, "+.4f"),
        "integer operators": _share,
        "largest differences": lambda a: ", ".join(f"{k} {v:.2g}" for k, v in a.difference.items()),
        "microseconds": lambda a: _number(a.report.get("latency_us"), ".0f"),
    }
    if any("naive_latency_us" in a.report for a in artifacts):
        columns["tools' own"] = lambda a: _number(a.report.get("naive_latency_us"), ".0f")
    return markdown_table([*columns], [[cell(a) for cell in columns.values()] for a in artifacts])


def pair_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table: encoders down, decoders across, differences in nats."""
    encoders = list(dict.fromkeys((p["format"], p["encoder"]) for p in pairs))
    decoders = list(dict.fromkeys(p["decoder"] for p in pairs))
    cells = {(p["format"], p["encoder"], p["decoder"]): p["elbo_difference"] for p in pairs}
    rows = [
        [
            f"{format} {encoder}",
            *(_number(cells.get((format, encoder, d)), "+.4f") for d in decoders),
        ]
        for format, encoder in encoders
    ]
    return markdown_table(["encoder", *(f"{d} decoder" for d in decoders)], rows)


def tuning_notes(
    tuning: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return a sentence for each pair of networks that was tuned, or was to be.

    Args:
        tuning: by ``tune``, with format and precision.
        pairs: by ``measure_pairs``.
    """
    found = {(p["format"], p["encoder"], p["decoder"]): p for p in pairs}
    notes = []
    for entry in tuning:
        format, precision = entry["format"], entry["precision"]
        note = f"The {precision} networks of {format}"
        pair = found.get((format, precision, precision))
        if not entry["tuned"]:
            note += f" are as they were before tuning: {entry['why']}"
        else:
            note += (
                f" were trained on for {entry['epochs']:g} epochs, {entry['steps']:,} steps, with "
                "their rounding in place"
            )
        if entry["tuned"] and pair:
            note += (
                f": the pair's ELBO is {pair['elbo_difference']:+.3f} nats beside the trained "
                f"model's, and {pair['trained_on_difference']:+.3f} beside that of a float32 model "
                "trained on for as long"
            )
        notes.append(f"{note}.")
    return notes


def _share(artifact: Artifact) -> str:
    operators = artifact.report.get("operators")
    return "" if operators is None else f"{operators['integer_share']:.0%}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
