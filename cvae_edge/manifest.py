"""The manifest: what a bundle holds, as tuples with names; ``manifest_json`` reads them.

No dataclasses: making these would take a device's start six milliseconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from cvae_edge.errors import BundleError
from cvae_edge.likelihoods import LIKELIHOODS, Likelihood
from cvae_edge.model_config import ModelShape
from cvae_edge.preprocess import Pixels

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
MONITOR_FILES = "monitor."  # what names of a monitor's files begin with
ROLES = ("encoder", "decoder", "reconstruct", "prior", "density")
HALVES = ("encoder", "decoder")
PRIOR_ROLES = ("prior", "density")  # of a learned prior, each the other's inverse
# in the order in which to list them
PRECISIONS = ("float32", "float16", "dynamic_range", "int8", "int4")
_NOTHING: Mapping[str, Any] = MappingProxyType({})  # a default that nobody can fill


class Tensor(NamedTuple):
    """One input or output of an artifact."""

    name: str
    shape: tuple[int | None, ...]  # None: the batch, free
    dtype: str
    scale: float | None = None  # real = scale * (integer - zero_point); None where dtype is float
    zero_point: int | None = None


class Artifact(NamedTuple):
    """One exported file and its properties."""

    file: str
    format: str  # these four are open: a reader skips what it does not know
    role: str
    precision: str
    lowering: str | None  # None where there is no decoder
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    size_bytes: int
    sha256: str
    opset: int | None = None  # of ONNX
    tolerance: Mapping[str, float] = _NOTHING  # per output: largest difference
    # from golden.npz that a right device shows
    difference: Mapping[str, float] = _NOTHING  # per output: largest difference
    # from the trained model, on the images the export measured
    elbo: float | None = None  # nats per image on held-out images, through this file
    elbo_difference: float | None = None  # from the trained model's on the same images and noise
    report: Mapping[str, Any] = _NOTHING  # further measurements, for people

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        tensors = {
            name: [t._asdict() for t in getattr(self, name)] for name in ("inputs", "outputs")
        }
        mappings = {n: dict(getattr(self, n)) for n in ("tolerance", "difference", "report")}
        return {**self._asdict(), **tensors, **mappings}


class Manifest(NamedTuple):
    """What is in a bundle."""

    name: str
    model: ModelShape
    pixels: Pixels  # what the encoder was trained on
    likelihood: Likelihood
    artifacts: tuple[Artifact, ...]
    files: dict[str, str]  # further files (golden.npz, samples.png, README.md) and their SHA-256
    training: dict[str, Any]
    tools: dict[str, str]  # versions
    report: Mapping[str, Any] = _NOTHING
    format_version: int = FORMAT_VERSION
    monitor: str | None = None  # of ``files``, what tells anomalous images; see ``monitor.files``

    def find(self, role: str, format: str, precision: str = "float32") -> Artifact:
        """Return the artifact of this kind; BundleError lists those there are."""
        for artifact in self.artifacts:
            if (artifact.role, artifact.format, artifact.precision) == (role, format, precision):
                return artifact
        there = ", ".join(a.file for a in self.artifacts) or "none"
        raise BundleError(f"{self.name} has no {precision} {role} for {format}; it has: {there}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, of which ``parse_manifest`` makes a manifest."""
        likelihood = {"name": self.likelihood.name, "scale": list(self.likelihood.scale)}
        fields = {
            **self._asdict(),
            "model": {**self.model._asdict(), "image_shape": list(self.model.image_shape)},
            "pixels": self.pixels.to_dict(),
            "likelihood": likelihood,
            "artifacts": [artifact.to_dict() for artifact in self.artifacts],
            "report": dict(self.report),
            "format_version": FORMAT_VERSION,
        }
        return {**fields, "digest": digest(fields)}


class UnknownLikelihood(NamedTuple):
    """A likelihood of a later version: scoring is refused, all else works."""

    name: str
    scale: tuple[float, ...] = ()

    def log_prob(self, x: Any, x_logits: Any) -> Any:
        """Refuse."""
        raise BundleError(
            f"scores need the likelihood {self.name!r}, and this cvae-edge has "
            f"{', '.join(LIKELIHOODS)}: install a newer one"
        )


def digest(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's fields, its own digest apart, as sorted JSON."""
    rest = {name: value for name, value in fields.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
