"""What is to be measured: files, batches, threads and providers, as a list of configurations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from cvae_edge.errors import BenchmarkError, BenchmarkWarning, BundleError, DependencyError
from cvae_edge.manifest import ROLES as FILE_ROLES
from cvae_edge.manifest import Artifact, Manifest
from cvae_edge.memory import require_memory
from cvae_edge.model_config import require
from cvae_edge.runtime.choose import choose_prior
from cvae_edge.runtime.engines import ENGINES, Engine, known_formats, known_providers, load_engine
from cvae_edge.runtime.parallel import available_cores

ROLES = ("decoder", "encoder", "reconstruct", "generate")
INPUTS = 4  # distinct inputs that a configuration takes in turn


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Raises:
        ConfigError: a value is out of range.
    """

    role: str = "decoder"
    batches: tuple[int, ...] = (1, 16, 256)  # images a call
    threads: tuple[int, ...] = (1,)
    providers: tuple[str, ...] = ("cpu",)  # of the engines, by short name
    min_seconds: float = 2.0  # that each configuration is measured for

    def __post_init__(self) -> None:
        require(self.role in ROLES, f"role must be one of {', '.join(ROLES)}", repr(self.role))
        for name in ("batches", "threads", "providers"):
            require(len(getattr(self, name)) > 0, f"{name} must name at least one", "none")
        require(min(self.batches) >= 1, "batch must be at least 1", min(self.batches))
        require(min(self.threads) >= 1, "threads must be at least 1", min(self.threads))
        require(
            0 < self.min_seconds < math.inf, "min-seconds must be above 0", f"{self.min_seconds:g}"
        )


@dataclass(frozen=True)
class Configuration:
    """One way to run a role: what one process measures."""

    role: str
    files: tuple[str, ...]  # one, or an encoder and a decoder
    format: str
    precision: str
    provider: str
    threads: int
    batch: int
    engine: Engine

    @property
    def name(self) -> str:
        """The files, as a person would ship them."""
        return " + ".join(self.files)


@dataclass(frozen=True)
class Plan:
    """Configurations, and why files of the role are not among them."""

    configurations: tuple[Configuration, ...]
    skipped: dict[str, str]  # file -> reason


def make_plan(manifest: Manifest, request: Request) -> Plan:
    """List every configuration of a request: batch by batch, file by file.

    Warns:
        BenchmarkWarning: more threads are asked for than there are cores.

    Raises:
        BundleError: the bundle has nothing for the role.
        ConfigError: a provider is unknown or not here, or a batch does not fit into memory.
        BenchmarkError: nothing that was asked for can run here.
    """
    subjects = _subjects(manifest, request.role)
    known = known_providers()
    for provider in request.providers:
        require(provider in known, f"provider must be one of {', '.join(known)}", repr(provider))
    _check_size(manifest, max(request.batches))
    _warn_of_cores(max(request.threads))
    skipped = {}
    configurations = []
    for files in subjects:
        engines, reason = _engines(files[0].format, request.providers)
        if not engines:
            skipped.update({artifact.file: reason for artifact in files})
        names = tuple(artifact.file for artifact in files)
        of_files = product(engines.items(), request.threads, request.batches)
        for (provider, engine), threads, batch in of_files:
            kind = files[0].format, files[-1].precision
            configurations.append(
                Configuration(request.role, names, *kind, provider, threads, batch, engine)
            )
    if not configurations:
        raise BenchmarkError(f"nothing can be measured: {'; '.join(sorted(set(skipped.values())))}")
    configurations.sort(key=lambda c: request.batches.index(c.batch))
    return Plan(tuple(configurations), skipped)


def _warn_of_cores(threads: int) -> None:
    cores = available_cores()
    if threads > cores:
        warnings.warn(
            f"{threads} threads were asked for and this machine has {cores} "
            f"{'core' if cores == 1 else 'cores'}: they will wait for each other",
            BenchmarkWarning,
            stacklevel=3,
        )


def _subjects(manifest: Manifest, role: str) -> list[tuple[Artifact, ...]]:
    """Return the files to compare; for reconstruct a fused one or else a pair of each kind."""
    of_role: dict[str, list[Artifact]] = {role: [] for role in FILE_ROLES}
    for artifact in manifest.artifacts:
        if artifact.role in of_role:  # a later version's is left out, as its inputs are not known
            of_role[artifact.role].append(artifact)
    subjects: list[tuple[Artifact, ...]]
    if role == "reconstruct":
        subjects = [(fused,) for fused in of_role["reconstruct"]]
        fused_kinds = {_kind(fused) for fused in of_role["reconstruct"]}
        encoders = {_kind(encoder): encoder for encoder in of_role["encoder"]}
        subjects += [
            (encoders[_kind(decoder)], decoder)
            for decoder in of_role["decoder"]
            if _kind(decoder) in encoders.keys() - fused_kinds
        ]
    else:
        subjects = [
            (*_prior(manifest, artifact, role), artifact)
            for artifact in of_role["encoder" if role == "encoder" else "decoder"]
        ]
    if not subjects:
        there = ", ".join(a.file for a in manifest.artifacts) or "none"
        raise BundleError(f"{manifest.name} must have files for {role} to measure it, got {there}")
    return subjects


def _prior(manifest: Manifest, decoder: Artifact, role: str) -> list[Artifact]:
    """Return the learned prior that ``generate`` takes beside a decoder."""
    found = choose_prior(manifest, decoder.format, decoder.precision) if role == "generate" else []
    return [artifact for artifact in found if artifact.role == "prior"]


def _kind(artifact: Artifact) -> tuple[str, str]:
    return artifact.format, artifact.precision


def _engines(format: str, providers: Sequence[str]) -> tuple[dict[str, Engine], str]:
    """Return the engines that can run a format here, by provider; without any, the reason.

    Raises:
        ConfigError: a provider that some engine of the format has, but not here.
    """
    if format not in known_formats():
        return {}, f"this cvae-edge runs {', '.join(known_formats())}"
    of_format = [engine for engine in ENGINES.values() if engine.format == format]
    reason = f"{of_format[0].name} runs on the provider {of_format[0].providers[0]} alone"
    found = {}
    for provider in providers:
        for engine in of_format:
            if provider not in engine.providers:
                continue
            try:
                load_engine(format, provider)
            except DependencyError as error:
                reason = str(error)
            else:
                found[provider] = engine
    return found, reason


def _check_size(manifest: Manifest, batch: int) -> None:
    """Inputs, and the images that come of them, are held in memory."""
    pixels = math.prod(manifest.model.image_shape)
    require_memory(
        4 * batch * (INPUTS + 1) * (pixels + manifest.model.latent_dim), f"batch {batch}"
    )
