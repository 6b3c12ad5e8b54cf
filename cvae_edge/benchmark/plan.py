"""What is to be measured: files, batches, threads and providers, as a list of configurations."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from cvae_edge.errors import BenchmarkError, BenchmarkWarning, BundleError, DependencyError
from cvae_edge.manifest import Artifact, Manifest
from cvae_edge.model_config import require
from cvae_edge.runtime.memory import require_memory
from cvae_edge.runtime.parallel import available_cores

ROLES = ("decoder", "encoder", "reconstruct", "generate")
INPUTS = 4  # distinct inputs that a configuration takes in turn
_GRAPHS = {"onnx": "cvae_edge.runtime.onnx_graph", "tflite": "cvae_edge.runtime.litert_graph"}


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Raises:
        ConfigError: a value is out of range.
    """

    role: str = "decoder"
    batches: tuple[int, ...] = (1, 16, 256)  # images a call
    threads: tuple[int, ...] = (1,)
    providers: tuple[str, ...] = ("cpu",)  # onnxruntime's, by short name
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
    missing = {form: _missing_runtime(form) for form in {s[0].format for s in subjects}}
    _check_providers(request.providers, onnxruntime=_missing_runtime("onnx") is None)
    _check_size(manifest, max(request.batches))
    _warn_of_cores(max(request.threads))
    skipped = {}
    configurations = []
    for files in subjects:
        form = files[0].format
        reason = missing[form]
        if reason is None and form == "tflite" and "cpu" not in request.providers:
            reason = "LiteRT runs on the provider cpu alone"
        if reason is not None:
            skipped.update({artifact.file: reason for artifact in files})
            continue
        providers = request.providers if form == "onnx" else ("cpu",)
        for provider, threads, batch in product(providers, request.threads, request.batches):
            names = tuple(artifact.file for artifact in files)
            precision = files[-1].precision
            configurations.append(
                Configuration(request.role, names, form, precision, provider, threads, batch)
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
    of_role: dict[str, list[Artifact]] = {"encoder": [], "decoder": [], "reconstruct": []}
    for artifact in manifest.artifacts:
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
            (artifact,) for artifact in of_role["encoder" if role == "encoder" else "decoder"]
        ]
    if not subjects:
        there = ", ".join(a.file for a in manifest.artifacts) or "none"
        raise BundleError(f"{manifest.name} must have files for {role} to measure it, got {there}")
    return subjects


def _kind(artifact: Artifact) -> tuple[str, str]:
    return artifact.format, artifact.precision


def _missing_runtime(form: str) -> str | None:
    """Return what to install to run files of a format; None if it is there."""
    try:
        importlib.import_module(_GRAPHS[form])
    except DependencyError as error:
        return str(error)
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        return "ONNX files need onnxruntime, which is not installed: pip install onnxruntime"
    return None


def _check_providers(providers: Sequence[str], onnxruntime: bool) -> None:
    if onnxruntime:
        from cvae_edge.runtime.providers import provider_name

        for provider in providers:
            provider_name(provider)
    else:
        others = [provider for provider in providers if provider != "cpu"]
        require(not others, "providers other than cpu need onnxruntime", ", ".join(others))


def _check_size(manifest: Manifest, batch: int) -> None:
    """Inputs, and the images that come of them, are held in memory."""
    pixels = math.prod(manifest.model.image_shape)
    require_memory(
        4 * batch * (INPUTS + 1) * (pixels + manifest.model.latent_dim), f"batch {batch}"
    )
