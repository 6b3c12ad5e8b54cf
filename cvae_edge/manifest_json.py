"""A manifest that nobody vouches for: from its JSON, of version 1 or 2, to ``Manifest``."""

from __future__ import annotations

from typing import Any

from cvae_edge.errors import BundleError, ConfigError
from cvae_edge.likelihoods import LIKELIHOODS, Likelihood, make_likelihood
from cvae_edge.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Artifact,
    Manifest,
    Tensor,
    UnknownLikelihood,
    digest,
)
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

_BINARIZE_1: dict[str, Binarize] = {
    "static": "threshold",
    "dynamic": "draw",
    "none": "none",
}  # version 1's words


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
    monitor = manifest.monitor
    check(monitor is None or monitor in list(further), "the monitor must be one of files", monitor)
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
