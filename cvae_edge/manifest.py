"""The manifest: what a bundle holds, as tuples with names and as JSON that nobody trusts.

No dataclasses: making these would take a device's start six milliseconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from cvae_edge.errors import BundleError, ConfigError
from cvae_edge.likelihoods import LIKELIHOODS, Likelihood, make_likelihood
from cvae_edge.model_config import ModelShape
from cvae_edge.preprocess import Binarize, Pixels
from cvae_edge.untrusted import (
    check,
    check_file_name,
    check_sha256,
    is_number,
    is_whole,
    known_fields,
    optional,
    parse_json,
    typed,
    word,
)

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
ROLES = ("encoder", "decoder", "reconstruct")
# in the order in which to list them
PRECISIONS = ("float32", "float16", "dynamic_range", "int8", "int4")
_BINARIZE_1: dict[str, Binarize] = {
    "static": "threshold",
    "dynamic": "draw",
    "none": "none",
}  # version 1's words
_NOTHING: Mapping[str, Any] = MappingProxyType({})  # a default that nobody can fill


class Tensor(NamedTuple):
    """One input or output of an artifact."""

    name: str
    shape: tuple[int | None, ...]  # None: the batch, free
    dtype: str
    scale: float | None = None  # real = scale * (integer - zero_point); None where dtype is float
    zero_point: int | None = None


class Artifact(NamedTuple):
    """One exported file and what is known of it."""

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
    """A likelihood that a later version brought: what it scores is refused, and nothing else."""

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


def parse_manifest(content: bytes, source: str = MANIFEST) -> Manifest:
    """Read a manifest, trusting nothing in it.

    Raises:
        BundleError: it is not JSON, of another version, or an entry is wrong or unsafe.
    """
    try:
        fields = parse_json(content)
        check(isinstance(fields, dict), "the manifest must be an object", type(fields).__name__)
        version = fields.get("format_version")
        check(
            version in (1, FORMAT_VERSION) and not isinstance(version, bool),
            f"format_version must be 1 or {FORMAT_VERSION}, which this cvae-edge reads (a newer "
            "bundle needs a newer cvae-edge)",
            version,
        )
        if version == 1:
            return _manifest(_from_version_1(fields))
        check(
            fields.get("digest") == digest(fields),
            "the digest must be that of the other fields, or the manifest was changed or damaged",
            fields.get("digest"),
        )
        return _manifest(fields)
    except (BundleError, ConfigError, RecursionError) as error:
        raise BundleError(f"{source}: {MANIFEST} is wrong: {error}") from error


def _from_version_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Return version 1's fields in the terms of version 2: it knew one likelihood, of pixels."""
    binarize = typed(fields, "binarize", str)
    check(binarize in _BINARIZE_1, f"binarize must be one of {[*_BINARIZE_1]}", binarize)
    model = ModelShape.parse(fields.get("model"))
    pixels = Pixels(model.image_shape, binarize=_BINARIZE_1[binarize])._asdict()
    training: dict[str, Any] = typed(fields, "training", dict)
    data = training.get("data")
    if isinstance(data, dict):
        word_1 = data.get("binarize")
        data = {**data, "binarize": _BINARIZE_1.get(str(word_1), word_1)}
        training = {**training, "data": data}
    likelihood = {"name": "bernoulli", "scale": []}
    return {**fields, "pixels": pixels, "likelihood": likelihood, "training": training}


def _manifest(fields: dict[str, Any]) -> Manifest:
    known = known_fields(Manifest, fields)
    artifacts = typed(known, "artifacts", list)
    further: dict[str, Any] = typed(known, "files", dict)
    for name, sha256 in further.items():
        check_file_name(name, MANIFEST)
        check_sha256(sha256)
    model, pixels = ModelShape.parse(known["model"]), Pixels.parse(known["pixels"])
    check(model.image_shape == pixels.image_shape, "pixels must be the model's", pixels.image_shape)
    manifest = Manifest(
        **{
            **known,
            "name": typed(known, "name", str),
            "model": model,
            "pixels": pixels,
            "likelihood": _likelihood(typed(known, "likelihood", dict), model.image_shape[2]),
            "artifacts": tuple(_artifact(entry) for entry in artifacts),
            "training": typed(known, "training", dict),
            "tools": typed(known, "tools", dict),
            "report": typed({"report": {}, **known}, "report", dict),
        }
    )
    names = [*(a.file for a in manifest.artifacts), *further]
    check(len(set(names)) == len(names), "every file must be named once", sorted(names))
    return manifest


def _artifact(fields: Any) -> Artifact:
    known = known_fields(Artifact, fields)
    check_file_name(known["file"], MANIFEST)
    check_sha256(known["sha256"])
    for name in ("format", "role", "precision"):
        word(known, name)
    if known["lowering"] is not None:
        word(known, "lowering")
    size = known["size_bytes"]
    check(is_whole(size) and size >= 0, "size_bytes must be an integer of at least 0", size)
    for name in ("tolerance", "difference"):
        values = typed({name: {}, **known}, name, dict)
        check(all(is_number(v) for v in values.values()), f"{name} must hold numbers", values)
    for name in ("elbo", "elbo_difference"):
        optional(known, name, is_number, "a number")
    optional(known, "opset", is_whole, "an integer")
    typed({"report": {}, **known}, "report", dict)
    return Artifact(
        **{
            **known,
            "inputs": tuple(_tensor(t) for t in typed(known, "inputs", list)),
            "outputs": tuple(_tensor(t) for t in typed(known, "outputs", list)),
        }
    )


def _likelihood(fields: dict[str, Any], channels: int) -> Likelihood:
    name, scale = word(fields, "name"), typed({"scale": [], **fields}, "scale", list)
    if name not in LIKELIHOODS:
        return UnknownLikelihood(name)
    return make_likelihood(name, scale, channels)  # type: ignore[no-any-return]


def _tensor(fields: Any) -> Tensor:
    known = known_fields(Tensor, fields)
    typed(known, "name", str)
    word(known, "dtype")
    shape = typed(known, "shape", list)
    check(
        all(size is None or (is_whole(size) and size > 0) for size in shape),
        "a shape must hold positive integers or null",
        shape,
    )
    optional(known, "scale", lambda scale: is_number(scale) and scale > 0, "above 0")
    optional(known, "zero_point", is_whole, "an integer")
    return Tensor(**{**known, "shape": tuple(shape)})
