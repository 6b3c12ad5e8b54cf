"""Whether a bundle computes here what it computed where it was exported: hashes, then outputs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cvae_edge.array_files import ArrayFile
from cvae_edge.bundle import MAX_BYTES, Bundle
from cvae_edge.codec import Array
from cvae_edge.errors import BundleError, ConfigError, DataError, DependencyError
from cvae_edge.manifest import GOLDEN, Artifact
from cvae_edge.runtime.engines import is_served, known_providers, open_session

Status = Literal["ok", "failed", "skipped"]
_BATCHES = (1, 3)  # beside all golden images at once: an image must not depend on its batch


@dataclass(frozen=True)
class Check:
    """What came of one artifact."""

    file: str
    status: Status
    message: str
    differences: Mapping[str, float]  # by output: the largest from golden.npz
    tolerances: Mapping[str, float]  # by output: the largest that a right device shows

    @property
    def ok(self) -> bool:
        """Whether the file was run and does what it should."""
        return self.status == "ok"


def verify_bundle(bundle: Bundle, threads: int | None = None, provider: str = "cpu") -> list[Check]:
    """Run every artifact on the golden inputs and compare with the golden outputs.

    Args:
        bundle: the bundle; each of its files is hashed before any is opened.
        threads: how many a runtime may use; None leaves it the choice.
        provider: what ONNX files run on.

    Returns:
        One check an artifact, in the manifest's order. What cannot be checked is ``skipped``: a
        format whose engine is not known or installed, and all files of a bundle without
        golden.npz.

    Raises:
        BundleError: a file is missing, was changed, or cannot be opened.
    """
    golden = read_golden(bundle) if GOLDEN in bundle.manifest.files else None
    contents = {a.file: bundle.read(a) for a in bundle.manifest.artifacts}
    for name in bundle.manifest.files:
        bundle.read(name)
    return [
        _check(artifact, contents[artifact.file], golden, threads, provider)
        for artifact in bundle.manifest.artifacts
    ]


def read_golden(bundle: Bundle) -> dict[str, Array]:
    """Read golden.npz: inputs by name, outputs by ``FILE/NAME``, and the trained model's by name.

    Raises:
        BundleError: it is missing or damaged.
    """
    try:
        return ArrayFile(io.BytesIO(bundle.read(GOLDEN)), MAX_BYTES).read_all()
    except DataError as error:
        raise BundleError(f"{bundle.source}: {GOLDEN} is damaged: {error}") from error


def _check(
    artifact: Artifact,
    content: bytes,
    golden: Mapping[str, Array] | None,
    threads: int | None,
    provider: str,
) -> Check:
    try:
        graph = open_session(artifact, content, threads, provider)
    except DependencyError as error:
        return Check(artifact.file, "skipped", str(error), {}, artifact.tolerance)
    except ConfigError as error:
        if is_served(artifact.format, provider) or provider not in known_providers():
            raise
        return Check(artifact.file, "skipped", str(error), {}, artifact.tolerance)
    if golden is None:
        why = f"it opens; the bundle has no {GOLDEN}, so its outputs cannot be checked"
        return Check(artifact.file, "skipped", why, {}, artifact.tolerance)
    expected = {t.name: f"{artifact.file}/{t.name}" for t in artifact.outputs}
    missing = [
        n for n in (*(t.name for t in artifact.inputs), *expected.values()) if n not in golden
    ]
    missing += [f"a tolerance for {name}" for name in expected if name not in artifact.tolerance]
    if missing:
        raise BundleError(f"{artifact.file} cannot be verified: the bundle lacks {missing[0]}")
    differences = dict.fromkeys(expected, 0.0)
    n = len(golden[artifact.inputs[0].name])
    for size in (*_BATCHES, n):
        outputs = graph(**{t.name: golden[t.name][:size] for t in artifact.inputs})
        for name, key in expected.items():
            difference = largest_difference(outputs[name], golden[key][:size])
            differences[name] = max(differences[name], difference)
    wrong = [
        f"{name} differs by {difference:.3g}, at most {artifact.tolerance[name]:.3g} is right"
        for name, difference in differences.items()
        if not difference <= artifact.tolerance[name]
    ]
    right = ", ".join(
        f"{name} {difference:.2g} of {artifact.tolerance[name]:.2g}"
        for name, difference in differences.items()
    )
    return Check(
        artifact.file,
        "failed" if wrong else "ok",
        "; ".join(wrong) or right,
        differences,
        artifact.tolerance,
    )


def largest_difference(got: Array, expected: Array) -> float:
    """Return the largest absolute difference; infinity where shapes differ or a value is NaN."""
    if got.shape != expected.shape:
        return float("inf")
    largest = float(np.abs(got.astype(np.float64) - expected).max())
    return largest if np.isfinite(largest) else float("inf")
