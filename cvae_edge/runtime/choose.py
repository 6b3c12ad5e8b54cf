"""Which of a bundle's files to run where a user leaves it open."""

from __future__ import annotations

from cvae_edge.elbo import loss_budget
from cvae_edge.errors import BundleError, DependencyError
from cvae_edge.manifest import PRECISIONS, Artifact, Manifest
from cvae_edge.model_config import require
from cvae_edge.runtime.engines import ENGINES, find_engine, is_installed, known_formats


def choose_format(manifest: Manifest, format: str = "auto") -> str:
    """Return ``format`` or, for auto, one that the bundle has and this machine can run.

    That is the first of those with most of encoder and decoder.

    Raises:
        ConfigError: no engine runs the format.
        BundleError: the bundle has no decoder of it, and no encoder.
        DependencyError: for auto, nothing that runs the bundle's files is installed.
    """
    halves = {(a.format, a.role) for a in manifest.artifacts if a.role in _ROLES}
    there = [form for form, _ in halves]
    if format != "auto":
        find_engine(format)
        if format in there:
            return format
        raise BundleError(
            f"{manifest.name} has neither half for {format}; it has: {_files(manifest)}"
        )
    runnable = [engine for engine in ENGINES.values() if engine.format in there]
    runnable.sort(key=lambda engine: -there.count(engine.format))
    for engine in runnable:
        if is_installed(engine):
            return engine.format
    if runnable:
        names = " or ".join(engine.name for engine in runnable)
        raise DependencyError(f"{manifest.name} needs {names}: {runnable[0].install}")
    raise BundleError(
        f"{manifest.name} must have files for {' or '.join(known_formats())}, which this cvae-edge "
        f"runs; it has: {_files(manifest)}"
    )


def choose_pair(manifest: Manifest, format: str, precision: str) -> list[Artifact]:
    """Return an encoder and a decoder, or the one that is there; see ``choose_artifact``."""
    halves = {
        (a.role, p) for a in manifest.artifacts for p in ("auto", a.precision) if a.format == format
    }
    there = [role for role in _ROLES if (role, precision) in halves]
    return [choose_artifact(manifest, role, format, precision) for role in there or _ROLES]


def choose_artifact(manifest: Manifest, role: str, format: str, precision: str) -> Artifact:
    """Return the file for ``role``.

    ``auto`` takes the fastest whose loss of ELBO is within ``elbo.loss_budget``, both as the
    manifest states them: what it measured, so that one bundle gives the same images everywhere. A
    quantized file whose loss nobody measured is never chosen.

    Raises:
        ConfigError: a precision that no file of the bundle has.
        BundleError: the bundle has no such file.
    """
    if precision != "auto":
        known = dict.fromkeys(("auto", *PRECISIONS, *(a.precision for a in manifest.artifacts)))
        rule = f"precision must be one of {', '.join(known)}"
        require(precision in known, rule, repr(precision))
        return manifest.find(role, format, precision)
    good = [a for a in _artifacts(manifest, role, format) if is_acceptable(a)]
    if not good:
        raise BundleError(
            f"{manifest.name} has no {role} for {format} that loses little enough: choose "
            f"a precision; it has: {_files(manifest)}"
        )
    if all(isinstance(a.report.get("latency_us"), int | float) for a in good):
        return min(good, key=lambda a: float(a.report["latency_us"]))
    return next((a for a in good if a.precision == "float32"), good[0])


def is_acceptable(artifact: Artifact) -> bool:
    """Whether a file may be chosen; see ``loses_little``."""
    difference = artifact.elbo_difference
    loss = None if difference is None else -difference
    return loses_little(artifact.precision, artifact.elbo, loss)


def loses_little(precision: str, elbo: float | None, loss: float | None) -> bool:
    """Whether a loss is within the budget; one that nobody measured is, in float32 alone.

    Args:
        precision: of what was measured.
        elbo: of it, in nats; None: not measured.
        loss: nats below the trained model's; None: not measured.
    """
    if elbo is None or loss is None:
        return precision == "float32"
    return loss <= loss_budget(elbo + loss)


_ROLES = ("encoder", "decoder")


def _artifacts(manifest: Manifest, role: str, format: str) -> list[Artifact]:
    return [a for a in manifest.artifacts if (a.role, a.format) == (role, format)]


def _files(manifest: Manifest) -> str:
    return ", ".join(a.file for a in manifest.artifacts) or "none"
