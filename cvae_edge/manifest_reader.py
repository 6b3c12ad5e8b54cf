"""From JSON that nobody trusts to a manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
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
from cvae_edge.preprocess import Pixels

_BINARIZE_1 = {"static": "threshold", "dynamic": "draw", "none": "none"}  # version 1's words
_DTYPES = ("float32", "float16", "int8", "uint8")


def parse_manifest(content: bytes, source: str = MANIFEST) -> Manifest:
    """Read a manifest, trusting nothing in it.

    Raises:
        BundleError: it is not JSON, of another version, or an entry is wrong or unsafe.
    """
    try:
        fields = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{source}: {MANIFEST} is not readable JSON: {error}") from error
    try:
        _check(isinstance(fields, dict), "the manifest must be an object", type(fields).__name__)
        version = fields.get("format_version")
        _check(
            version in (1, FORMAT_VERSION) and not isinstance(version, bool),
            f"format_version must be 1 or {FORMAT_VERSION}, which this cvae-edge reads (a newer "
            "bundle needs a newer cvae-edge)",
            version,
        )
        if version == 1:
            return _manifest(_from_version_1(fields))
        _check(
            fields.get("digest") == digest(fields),
            "the digest must be that of the other fields, or the manifest was changed or damaged",
            fields.get("digest"),
        )
        return _manifest(fields)
    except (BundleError, ConfigError) as error:
        raise BundleError(f"{source}: {MANIFEST} is wrong: {error}") from error


def _from_version_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Return version 1's fields in the terms of version 2: it knew one likelihood, of pixels."""
    binarize = _BINARIZE_1.get(_one_of(fields, "binarize", tuple(_BINARIZE_1)))
    model = fields.get("model")
    shape = model.get("image_shape") if isinstance(model, dict) else None
    pixels = Pixels(shape, binarize=binarize)._asdict()  # type: ignore[arg-type] # checked later
    return {**fields, "pixels": pixels, "likelihood": {"name": "bernoulli", "scale": []}}


def _manifest(fields: dict[str, Any]) -> Manifest:
    known = _known_fields(Manifest, fields)
    artifacts = _typed(known, "artifacts", list)
    further: dict[str, Any] = _typed(known, "files", dict)
    for name, sha256 in further.items():
        _safe_name(name)
        _digest(sha256)
    model, pixels = ModelShape.parse(known["model"]), Pixels.parse(known["pixels"])
    _check(
        model.image_shape == pixels.image_shape, "pixels must be the model's", pixels.image_shape
    )
    manifest = Manifest(
        **{
            **known,
            "name": _typed(known, "name", str),
            "model": model,
            "pixels": pixels,
            "likelihood": _likelihood(_typed(known, "likelihood", dict), model.image_shape[2]),
            "artifacts": tuple(_artifact(entry) for entry in artifacts),
            "training": _typed(known, "training", dict),
            "tools": _typed(known, "tools", dict),
            "report": _typed({"report": {}, **known}, "report", dict),
        }
    )
    names = [a.file for a in manifest.artifacts] + list(further)
    _check(len(set(names)) == len(names), "every file must be named once", sorted(names))
    return manifest


def _artifact(fields: Any) -> Artifact:
    known = _known_fields(Artifact, fields)
    _safe_name(known["file"])
    _digest(known["sha256"])
    for name in ("format", "role", "precision"):
        _word(known, name)
    if known["lowering"] is not None:
        _word(known, "lowering")
    _check(_is_int(known["size_bytes"]), "size_bytes must be an integer", known["size_bytes"])
    for name in ("tolerance", "difference"):
        values = _typed({name: {}, **known}, name, dict)
        _check(all(_is_number(v) for v in values.values()), f"{name} must hold numbers", values)
    for name in ("elbo", "elbo_difference"):
        value = known.get(name)
        _check(value is None or _is_number(value), f"{name} must be a number", value)
    opset = known.get("opset")
    _check(opset is None or _is_int(opset), "opset must be an integer", opset)
    _typed({"report": {}, **known}, "report", dict)
    return Artifact(
        **{
            **known,
            "inputs": tuple(_tensor(t) for t in _typed(known, "inputs", list)),
            "outputs": tuple(_tensor(t) for t in _typed(known, "outputs", list)),
        }
    )


def _likelihood(fields: dict[str, Any], channels: int) -> Likelihood:
    name, scale = _word(fields, "name"), _typed({"scale": [], **fields}, "scale", list)
    if name not in LIKELIHOODS:
        return UnknownLikelihood(name)
    likelihood: Likelihood = make_likelihood(name, scale, channels)
    return likelihood


def _tensor(fields: Any) -> Tensor:
    known = _known_fields(Tensor, fields)
    _typed(known, "name", str)
    _one_of(known, "dtype", _DTYPES)
    shape = _typed(known, "shape", list)
    _check(
        all(size is None or (_is_int(size) and size > 0) for size in shape),
        "a shape must hold positive integers or null",
        shape,
    )
    scale, zero_point = known.get("scale"), known.get("zero_point")
    _check(scale is None or (_is_number(scale) and scale > 0), "scale must be above 0", scale)
    _check(zero_point is None or _is_int(zero_point), "zero_point must be an integer", zero_point)
    return Tensor(**{**known, "shape": tuple(shape)})


def _known_fields(
    cls: type[Manifest] | type[Artifact] | type[Tensor], fields: Any
) -> dict[str, Any]:
    """Return the fields that ``cls`` has; others are a later version's additions, and ignored."""
    name = cls.__name__.lower()
    _check(isinstance(fields, dict), f"a {name} must be an object", type(fields).__name__)
    missing = sorted(set(cls._fields) - set(cls._field_defaults) - set(fields))
    _check(not missing, f"a {name} must have all of its fields", f"none of {missing}")
    return {field: fields[field] for field in cls._fields if field in fields}


def _check(condition: bool, rule: str, got: object) -> None:
    if not condition:
        raise BundleError(f"{rule}, got {str(got)[:200]}")


def _typed(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    _check(name in fields, f"{name} must be there", "nothing")
    value = fields[name]
    _check(isinstance(value, kind), f"{name} must be {kind.__name__}", type(value).__name__)
    return value


def _word(fields: Mapping[str, Any], name: str) -> str:
    """Return a field that later versions may have other values for."""
    value: str = _typed(fields, name, str)
    fits = 0 < len(value) <= 40 and all(c.isascii() and (c.isalnum() or c == "_") for c in value)
    _check(fits, f"{name} must be a word of letters, digits and '_'", repr(value))
    return value


def _one_of(fields: Mapping[str, Any], name: str, values: tuple[str, ...]) -> Any:
    value = fields[name]
    _check(
        isinstance(value, str) and value in values,
        f"{name} must be one of {', '.join(values)}",
        value,
    )
    return value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _digest(value: object) -> None:
    _check(
        isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"),
        "a SHA-256 must be 64 hexadecimal digits",
        value,
    )


def _safe_name(value: object) -> None:
    """A file lies in the bundle's own folder: no separators, no drive, nothing hidden."""
    _check(
        isinstance(value, str)
        and 0 < len(value) <= 100
        and not value.startswith(".")
        and value != MANIFEST
        and all(c.isascii() and (c.isalnum() or c in "._-") for c in value),
        "a file name must be plain letters, digits, '.', '_' and '-'",
        repr(value),
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
