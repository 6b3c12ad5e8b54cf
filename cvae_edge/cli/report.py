"""Bundles as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvae_edge.cli.output import print_error, print_table, say
from cvae_edge.errors import ParityError

if TYPE_CHECKING:
    from cvae_edge.bundle import Bundle
    from cvae_edge.exporters.export import ExportResult
    from cvae_edge.manifest import Artifact, Manifest
    from cvae_edge.runtime.verify import Check


def print_export(result: ExportResult) -> None:
    """Print what an export made, what is missing and why, and what to type next."""
    print_artifacts(str(result.folder), result.manifest.artifacts)
    _print_notes(result.manifest)
    for file, reason in result.failures.items():
        print_error(f"{file} was left out: {reason}")
    say(f"\nNext: cvae-edge generate {result.folder} -n 64 --out samples.png")


def print_bundle(opened: Bundle) -> None:
    """Print a bundle's model, training and artifacts."""
    from cvae_edge.likelihoods import LIKELIHOODS, unit
    from cvae_edge.manifest import ROLES
    from cvae_edge.runtime.engines import SOURCES, known_formats

    manifest = opened.manifest
    training, likelihood = manifest.training, manifest.likelihood
    rows = [
        ("images", "x".join(map(str, manifest.model.image_shape))),
        ("latent_dim", manifest.model.latent_dim),
        ("pixels", f"binarization {manifest.pixels.binarize}, fit {manifest.pixels.fit}"),
        ("likelihood", _words(likelihood.name, likelihood.name in LIKELIHOODS, likelihood.scale)),
        *((key, training[key]) for key in ("epochs", "train_images") if key in training),
        *([] if manifest.monitor is None else [("monitor", manifest.monitor)]),
        *((tool, version) for tool, version in manifest.tools.items()),
    ]
    figures = [
        ("test ELBO", "test_elbo", f" {unit(likelihood.name, manifest.pixels.binarize)}"),
        ("with the standard prior", "test_elbo_standard_prior", ""),
        ("test bits per dimension", "test_bits_per_dim", ""),
        ("test PSNR", "test_psnr", " dB"),
    ]
    rows[4:4] = [
        (title, f"{training[key]:.2f}{what}")
        for title, key, what in figures
        if isinstance(training.get(key), int | float)
    ]
    print_table(opened.source, ["model", manifest.name], rows)
    known = [
        a
        for a in manifest.artifacts
        if a.format in SOURCES or (a.format in known_formats() and a.role in ROLES)
    ]
    print_artifacts("artifacts", known)
    _print_notes(manifest)
    for artifact in manifest.artifacts:
        if artifact not in known:
            say(
                f"{artifact.file} is of a kind that this cvae-edge does not know "
                f"({artifact.format} {artifact.role}, {artifact.precision}): a newer one may."
            )


def _print_notes(manifest: Manifest) -> None:
    notes = manifest.report.get("notes")
    for note in notes if isinstance(notes, list) else ():
        say(f"Note: {note}")


def _words(likelihood: str, known: bool, scale: Sequence[float]) -> str:
    if not known:
        return f"{likelihood}, which this cvae-edge does not know"
    return " ".join((likelihood, *(f"{s:.4g}" for s in scale)))


def print_artifacts(title: str, artifacts: Sequence[Artifact]) -> None:
    """Print a row for each artifact: its size, cost in nats, and time where it was exported."""
    compared = any("naive_latency_us" in a.report for a in artifacts)
    rows = [
        (
            a.file,
            a.lowering or "",
            f"{a.size_bytes / 1000:.0f}",
            "" if a.elbo_difference is None else f"{a.elbo_difference:+.3f}",
            _microseconds(a, "latency_us"),
            *([_microseconds(a, "naive_latency_us")] if compared else []),
        )
        for a in artifacts
    ]
    columns = ["file", "lowering", "kB", "nats", "us", *(["naive us"] if compared else [])]
    print_table(title, columns, rows)
    naive = "; naive: the tools' own export" if compared else ""
    say(
        "nats: ELBO against the trained model's; of a prior, its draws' log p(z). us: one image, "
        f"one thread, where it was exported{naive}."
    )
    for artifact in artifacts:
        for note in ("slower", "needs_trust"):
            if note in artifact.report:
                say(f"Note: {artifact.report[note]}.")


def _microseconds(artifact: Artifact, key: str) -> str:
    value = artifact.report.get(key)
    return f"{value:.0f}" if isinstance(value, int | float) else ""


def print_checks(title: str, checks: Sequence[Check]) -> None:
    """Print a row for each artifact: whether its outputs are those of where it was exported."""
    print_table(title, ["file", "result", ""], [(c.file, c.status, c.message) for c in checks])


def require_right(source: str, checks: Sequence[Check]) -> None:
    """Raise ParityError if a check failed, naming the files."""
    failed = [check.file for check in checks if check.status == "failed"]
    if failed:
        raise ParityError(
            f"on this machine {', '.join(failed)} of {source} must give the golden outputs and did "
            "not: use another precision here"
        )
