"""Which of a bundle's files to run where a user leaves it open."""

from __future__ import annotations

from cvae_edge.elbo import loss_budget
from cvae_edge.errors import BundleError, ConfigError, DependencyError
from cvae_edge.manifest import PRECISIONS, Artifact, Manifest
from cvae_edge.runtime.engines import ENGINES, find_engine, is_installed, known_formats


def choose_format(manifest: Manifest, format: str = "auto") -> str:
    """Return ``format`` or, for auto, the first that the bundle has and this machine can run.

    Raises:
        ConfigError: no engine runs the format.
        BundleError: the bundle has no decoder of it, and no encoder.
        DependencyError: for auto, nothing that runs the bundle's files is installed.
    """
    there = list(dict.fromkeys(a.format for a in manifest.artifacts if a.role in _ROLES))
    if format != "auto":
        find_engine(format)
        if format not in there:
            raise BundleError(
                f"{manifest.name} has no encoder and decoder for {format}; it has: "
                f"{_files(manifest)}"
            )
        return format
    runnable = [engine for engine in ENGINES.values() if engine.format in there]
    for engine in runnable:
        if is_installed(engine):
            return engine.format
    if not runnable:
        raise BundleError(
            f"{manifest.name} must have files for {' or '.join(known_formats())}, which this "
            f"cvae-edge runs; it has: {_files(manifest)}"
        )
    raise DependencyError(
        f"{manifest.name} needs {' or '.join(e.name for e in runnable)}: {runnable[0].install}"
    )


def choose_pair(manifest: Manifest, format: str, precision: str) -> list[Artifact]:
    """Return an encoder and a decoder, or the one that is there; see ``choose_artifact``."""
    there = [role for role in _ROLES if _artifacts(manifest, role, format)]
    return [choose_artifact(manifest, role, format, precision) for role in there]


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
        known = list(
            dict.fromkeys(("auto", *PRECISIONS, *(a.precision for a in manifest.artifacts)))
        )
        if precision not in known:
            raise ConfigError(f"precision must be one of {', '.join(known)}, got {precision!r}")
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
    """Whether a file may be chosen: what it loses is known, and within the budget."""
    if artifact.elbo is None or artifact.elbo_difference is None:
        return artifact.precision == "float32"
    return -artifact.elbo_difference <= loss_budget(artifact.elbo - artifact.elbo_difference)


_ROLES = ("encoder", "decoder")


def _artifacts(manifest: Manifest, role: str, format: str) -> list[Artifact]:
    return [a for a in manifest.artifacts if (a.role, a.format) == (role, format)]


def _files(manifest: Manifest) -> str:
    return ", ".join(a.file for a in manifest.artifacts) or "none"
