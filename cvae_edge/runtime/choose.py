"""Which of a bundle's files to run where a user leaves it open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cvae_edge.bundle import Bundle
from cvae_edge.elbo import loss_budget
from cvae_edge.errors import BundleError, DependencyError
from cvae_edge.manifest import HALVES, PRECISIONS, PRIOR_ROLES, Artifact, Manifest
from cvae_edge.model_config import PRIORS, require, require_choice
from cvae_edge.runtime.engines import ENGINES, find_engine, is_installed, known_formats
from cvae_edge.untrusted import is_number

Measure = Callable[[Sequence[Artifact]], Mapping[str, float]]  # microseconds by file
_TIE = 1.15  # times that are closer may change places from one measurement to the next


def choose_format(manifest: Manifest, format: str = "auto") -> str:
    """Return ``format`` or, for auto, one that the bundle has and this machine can run.

    That is the first of those with most of encoder and decoder.

    Raises:
        ConfigError: no engine runs the format.
        BundleError: the bundle has no decoder of it, and no encoder.
        DependencyError: for auto, nothing that runs the bundle's files is installed.
    """
    halves = {(a.format, a.role) for a in manifest.artifacts if a.role in HALVES}
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


def choose_files(
    bundle: Bundle,
    format: str,
    precision: str,
    threads: int | None,
    provider: str,
    prior: str = "auto",
) -> list[Artifact]:
    """Return the files that ``EdgeCVAE.load`` opens.

    See ``choose_format``, ``choose_artifact`` and ``choose_prior``.
    """
    measure = None
    if precision == "auto" and provider == "cpu":  # elsewhere opening a file may take minutes
        from cvae_edge.runtime.measured import measure_files  # others spare its import

        measure = partial(measure_files, bundle, threads)
    manifest = bundle.manifest
    format = choose_format(manifest, format)
    pair = choose_pair(manifest, format, precision, measure)
    return [*pair, *choose_prior(manifest, format, pair[-1].precision, prior)]


def choose_pair(
    manifest: Manifest, format: str, precision: str, measure: Measure | None = None
) -> list[Artifact]:
    """Return an encoder and a decoder, or the one that is there; see ``choose_artifact``."""
    halves = {
        (a.role, p) for a in manifest.artifacts for p in ("auto", a.precision) if a.format == format
    }
    there = [role for role in HALVES if (role, precision) in halves]
    return [choose_artifact(manifest, role, format, precision, measure) for role in there or HALVES]


def choose_prior(
    manifest: Manifest, format: str, precision: str, prior: str = "auto"
) -> list[Artifact]:
    """Return the files of the learned prior; none for the standard normal.

    Args:
        manifest: the bundle's.
        format: of the files.
        precision: of the decoder. Where the prior has no such file, one with kernels of 8 bits goes
            with integers, and else float32.
        prior: flow, standard; or auto, flow where there is one.

    Raises:
        ConfigError: another prior.
        BundleError: flow is asked for, and the bundle has none of the format.
    """
    require_choice("prior", prior, ("auto", *PRIORS))
    found = {a.role: a for p in ("float32", "dynamic_range", precision) for a in manifest.artifacts
             if (a.format, a.precision) == (format, p) and _suits(p, precision)}  # fmt: skip
    if prior == "flow" and "prior" not in found:
        raise BundleError(
            f"{manifest.name} must have a learned prior for {format} to take it, got "
            f"{_files(manifest)}: leave out --prior flow, or export a run with a prior"
        )
    return [found[role] for role in PRIOR_ROLES if role in found and prior != "standard"]


def _suits(precision: str, wanted: str) -> bool:
    return precision != "dynamic_range" or wanted in ("dynamic_range", "int8", "int4")


def choose_artifact(
    manifest: Manifest, role: str, format: str, precision: str, measure: Measure | None = None
) -> Artifact:
    """Return the file for ``role``.

    ``auto`` takes the fastest of those whose loss of ELBO is within ``elbo.loss_budget`` by the
    manifest. A quantized file whose loss nobody measured is never chosen. Of files that are as fast
    as each other, it takes the first in the manifest's own order of speed.

    Args:
        manifest: the bundle's.
        role: encoder or decoder.
        format: of the file.
        precision: the file's, or auto.
        measure: times files on this machine, if it can; None: the manifest's latencies decide.

    Raises:
        ConfigError: a precision that no file of the bundle has.
        BundleError: the bundle has no such file.
    """
    if precision != "auto":
        known = dict.fromkeys(("auto", *PRECISIONS, *(a.precision for a in manifest.artifacts)))
        rule = f"precision must be one of {', '.join(known)}"
        require(precision in known, rule, repr(precision))
        return manifest.find(role, format, precision)
    good = [a for a in _artifacts(manifest, role, format) if is_acceptable(manifest, a)]
    if not good:
        raise BundleError(
            f"{manifest.name} has no {role} for {format} that loses little enough: choose "
            f"a precision; it has: {_files(manifest)}"
        )
    ranked = _by_speed(good)
    times = measure(ranked) if measure and len(ranked) > 1 else {}
    if not times:
        return ranked[0]
    limit = _TIE * min(times.values())
    return next(a for a in ranked if times.get(a.file, float("inf")) <= limit)


def _by_speed(artifacts: list[Artifact]) -> list[Artifact]:
    """Sort by the manifest's latencies; without them, float32 first."""
    if all(is_number(a.report.get("latency_us")) for a in artifacts):
        return sorted(artifacts, key=lambda a: float(a.report["latency_us"]))
    return sorted(artifacts, key=lambda a: a.precision != "float32")


def is_acceptable(manifest: Manifest, artifact: Artifact) -> bool:
    """Whether a file may be chosen: what it loses is known, and within the budget.

    float32 whose loss nobody measured is taken to lose nothing.
    """
    elbo, difference = artifact.elbo, artifact.elbo_difference
    if elbo is None or difference is None:
        return artifact.precision == "float32"
    return -difference <= loss_budget(elbo - difference, manifest.pixels)


def _artifacts(manifest: Manifest, role: str, format: str) -> list[Artifact]:
    return [a for a in manifest.artifacts if (a.role, a.format) == (role, format)]


def _files(manifest: Manifest) -> str:
    return ", ".join(a.file for a in manifest.artifacts) or "none"
