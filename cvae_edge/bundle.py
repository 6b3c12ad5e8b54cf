"""The bundle: a folder of exported files under a manifest. Stdlib only.

A bundle is what crosses from the training side to devices. Its manifest names every file with its
size and SHA-256; nothing else in the folder is ever opened. JSON and npz only: no file in a bundle
can run code when it is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvae_edge.config import Binarize, ModelConfig
from cvae_edge.errors import BundleError, ConfigError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
FORMATS = ("onnx", "tflite")
ROLES = ("encoder", "decoder", "reconstruct")
PRECISIONS = ("float32", "float16", "dynamic_range", "int8")
LOWERINGS = ("transposed", "subpixel")
BINARIZE = ("static", "dynamic", "none")
_DTYPES = ("float32", "float16", "int8", "uint8")


@dataclass(frozen=True)
class Tensor:
    """One input or output of an artifact."""

    name: str
    shape: tuple[int | None, ...]  # None: the batch, free
    dtype: str
    scale: float | None = None  # real = scale * (integer - zero_point); None where dtype is float
    zero_point: int | None = None


@dataclass(frozen=True)
class Artifact:
    """One exported file and what is known of it."""

    file: str
    format: str  # onnx | tflite
    role: str  # encoder | decoder | reconstruct
    precision: str  # float32 | float16 | dynamic_range | int8
    lowering: str | None  # transposed | subpixel; None where there is no decoder
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    size_bytes: int
    sha256: str
    opset: int | None = None  # of ONNX
    tolerance: dict[str, float] = field(default_factory=dict)  # per output: largest difference
    # from golden.npz that a right device shows
    difference: dict[str, float] = field(default_factory=dict)  # per output: largest difference
    # from the trained model, on the images the export measured
    elbo: float | None = None  # nats per image on held-out images, through this file
    elbo_difference: float | None = None  # from the trained model's on the same images and noise
    report: dict[str, Any] = field(default_factory=dict)  # further measurements, for people


@dataclass(frozen=True)
class Manifest:
    """What is in a bundle."""

    name: str
    model: ModelConfig
    binarize: Binarize  # what the encoder was trained on
    artifacts: tuple[Artifact, ...]
    files: dict[str, str]  # further files (golden.npz, samples.png, README.md) and their SHA-256
    training: dict[str, Any]
    tools: dict[str, str]  # versions
    report: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def find(self, role: str, format: str, precision: str = "float32") -> Artifact:
        """Return the artifact of this kind; BundleError lists those there are."""
        for artifact in self.artifacts:
            if (artifact.role, artifact.format, artifact.precision) == (role, format, precision):
                return artifact
        there = ", ".join(a.file for a in self.artifacts) or "none"
        raise BundleError(f"{self.name} has no {precision} {role} for {format}; it has: {there}")


@dataclass(frozen=True)
class Bundle:
    """A manifest whose every entry has been checked, and a way to its files."""

    manifest: Manifest
    source: str  # what to call it in messages
    _read: Callable[[str], bytes]

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Read the manifest of the bundle in ``folder``.

        Raises:
            BundleError: there is none, or it is damaged, unsafe or of an unknown version.
        """
        if not (folder / MANIFEST).is_file():
            raise BundleError(
                f"{folder} is no bundle: it has no {MANIFEST}; cvae-edge export makes one"
            )
        root = folder.resolve()

        def read(name: str) -> bytes:
            path = (root / name).resolve()
            if path.parent != root:  # a link, say
                raise BundleError(f"{folder}: {name} leads out of the bundle")
            try:
                return path.read_bytes()
            except OSError as error:
                raise BundleError(f"{folder}: {name} cannot be read: {error.strerror}") from error

        return cls.from_reader(read, str(folder))

    @classmethod
    def from_reader(cls, read: Callable[[str], bytes], source: str) -> Bundle:
        """Build a bundle from ``read``, which returns a file's bytes by its name."""
        return cls(parse_manifest(read(MANIFEST), source), source, read)

    def read(self, entry: Artifact | str) -> bytes:
        """Return the bytes of an artifact, or of a further file, once its SHA-256 is right.

        Raises:
            BundleError: the file is missing, or is not the one the manifest describes.
        """
        if isinstance(entry, Artifact):
            name, sha256 = entry.file, entry.sha256
        else:
            name = entry
            if name not in self.manifest.files:
                raise BundleError(f"{self.source}: the manifest names no {name}")
            sha256 = self.manifest.files[name]
        content = self._read(name)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BundleError(
                f"{self.source}: {name} was changed or damaged, "
                "its SHA-256 is not the manifest's: copy or export the bundle again"
            )
        return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def new_bundle(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` when the block ends without an error.

    A bundle that is there already stays whole until then, and is replaced; an error or a kill
    leaves it as it is.

    Raises:
        BundleError: ``folder`` exists and is no bundle.
    """
    check_output(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        temporary.chmod(0o755)  # mkdtemp makes private folders
        yield temporary
        check_output(folder)
        if folder.exists():
            old = temporary.with_name(temporary.name + "-old")
            folder.replace(old)
            temporary.replace(folder)
            shutil.rmtree(old)
        else:
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already, unless an error came


def check_output(folder: Path) -> None:
    """Raise BundleError if ``folder`` holds something other than a bundle."""
    if (
        folder.exists()
        and not (folder / MANIFEST).is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise BundleError(f"{folder} exists and is no bundle: choose another --out")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into ``folder``, last of all its files."""
    text = json.dumps(dataclasses.asdict(manifest), indent=1, allow_nan=False) + "\n"
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


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
            version == FORMAT_VERSION,
            f"format_version must be {FORMAT_VERSION}, the one this cvae-edge reads (a newer bundle "
            "needs a newer cvae-edge)",
            version,
        )
        return _manifest(fields)
    except (BundleError, ConfigError) as error:
        raise BundleError(f"{source}: {MANIFEST} is wrong: {error}") from error


def _manifest(fields: dict[str, Any]) -> Manifest:
    known = _known_fields(Manifest, fields)
    artifacts = _typed(known, "artifacts", list)
    further: dict[str, Any] = _typed(known, "files", dict)
    for name, digest in further.items():
        _safe_name(name)
        _digest(digest)
    manifest = Manifest(
        **{
            **known,
            "name": _typed(known, "name", str),
            "model": ModelConfig.from_dict(known["model"]),
            "binarize": _one_of(known, "binarize", BINARIZE),
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
    for name, values in (("format", FORMATS), ("role", ROLES), ("precision", PRECISIONS)):
        _one_of(known, name, values)
    if known["lowering"] is not None:
        _one_of(known, "lowering", LOWERINGS)
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


def _known_fields(cls: type, fields: Any) -> dict[str, Any]:
    """Return the fields that ``cls`` has; others are a later version's additions, and ignored."""
    name = cls.__name__.lower()
    _check(isinstance(fields, dict), f"a {name} must be an object", type(fields).__name__)
    declared = dataclasses.fields(cls)
    missing = sorted(
        f.name
        for f in declared
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in fields
    )
    _check(not missing, f"a {name} must have all of its fields", f"none of {missing}")
    return {f.name: fields[f.name] for f in declared if f.name in fields}


def _check(condition: bool, rule: str, got: object) -> None:
    if not condition:
        raise BundleError(f"{rule}, got {str(got)[:200]}")


def _typed(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    value = fields[name]
    _check(isinstance(value, kind), f"{name} must be {kind.__name__}", type(value).__name__)
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
