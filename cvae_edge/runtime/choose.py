"""Which of a bundle's files to run where a user leaves it open."""

from __future__ import annotations

import importlib.util

from cvae_edge.errors import BundleError, DependencyError
from cvae_edge.manifest import FORMATS, PRECISIONS, Artifact, Manifest
from cvae_edge.model_config import require

MAX_LOSS = 0.25  # nats of ELBO that precision="auto" may give up

# Fastest first, for single images and where the manifest has no measurement. onnxruntime has no
# integer kernel for transposed convolutions, and none at all for float16 on a CPU.
_FASTEST = {
    "onnx": ("float32", "int8", "dynamic_range", "float16"),
    "tflite": ("int8", "float32", "dynamic_range", "float16"),
}
_RUNTIMES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}


def choose_format(manifest: Manifest, format: str = "auto") -> str:
    """Return ``format`` or, for auto, the first that the bundle has and this machine can run.

    Raises:
        ConfigError: an unknown format.
        BundleError: the bundle has no encoder and decoder of it.
        DependencyError: for auto, nothing that runs the bundle's files is installed.
    """
    require(format in ("auto", *FORMATS), f"format must be auto or one of {FORMATS}", repr(format))
    there = [f for f in FORMATS if all(_artifacts(manifest, role, f) for role in _ROLES)]
    if not there or format not in ("auto", *there):
        raise BundleError(
            f"{manifest.name} has no encoder and decoder for "
            f"{format if format != 'auto' else 'any format'}; it has: {_files(manifest)}"
        )
    if format != "auto":
        return format
    for candidate in there:
        if any(importlib.util.find_spec(runtime) for runtime in _RUNTIMES[candidate]):
            return candidate
    raise DependencyError(
        f"{manifest.name} needs onnxruntime for .onnx or LiteRT for .tflite, and has "
        f"{' and '.join(there)}: pip install onnxruntime, or ai-edge-litert"
    )


def choose_artifact(manifest: Manifest, role: str, format: str, precision: str) -> Artifact:
    """Return the file for ``role``.

    ``auto`` takes the fastest whose loss of ELBO is under ``MAX_LOSS``, both as the manifest states
    them: what it measured, so that one bundle gives the same images everywhere. A quantized file
    whose loss nobody measured is never chosen.

    Raises:
        ConfigError: an unknown precision.
        BundleError: the bundle has no such file.
    """
    known = ("auto", *PRECISIONS)
    require(precision in known, f"precision must be one of {', '.join(known)}", repr(precision))
    if precision != "auto":
        return manifest.find(role, format, precision)
    good = [a for a in _artifacts(manifest, role, format) if _loss(a) < MAX_LOSS]
    if not good:
        raise BundleError(
            f"{manifest.name} has no {role} for {format} that loses under {MAX_LOSS} nats: choose "
            f"a precision; it has: {_files(manifest)}"
        )
    if all(isinstance(a.report.get("latency_us"), int | float) for a in good):
        return min(good, key=lambda a: float(a.report["latency_us"]))
    return min(good, key=lambda a: _FASTEST[format].index(a.precision))


_ROLES = ("encoder", "decoder")


def _artifacts(manifest: Manifest, role: str, format: str) -> list[Artifact]:
    return [a for a in manifest.artifacts if (a.role, a.format) == (role, format)]


def _loss(artifact: Artifact) -> float:
    if artifact.elbo_difference is None:
        return 0.0 if artifact.precision == "float32" else float("inf")
    return -artifact.elbo_difference


def _files(manifest: Manifest) -> str:
    return ", ".join(a.file for a in manifest.artifacts) or "none"
