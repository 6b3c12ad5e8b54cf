"""What a target is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cvae_edge.codec import Graph
from cvae_edge.exporters.passes.quantize import Scheme
from cvae_edge.manifest import Artifact, Manifest, Tensor


@dataclass(frozen=True)
class File:
    """An exported file's bytes, and its tensors by the names of the bundle's format."""

    content: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int | None = None

    def described_by(self, artifact: Artifact) -> Artifact:
        """Return ``artifact`` with this file's tensors: what opens another tool's file."""
        return artifact._replace(inputs=self.inputs, outputs=self.outputs)


@dataclass(frozen=True)
class Target:
    """A format: what it holds, what suits it, and how a Keras model becomes a file of it.

    A file is opened by the engine of its format; see ``cvae_edge.runtime.engines``.
    """

    name: str  # of the format, and the ending of its files
    precisions: tuple[str, ...]
    lowerings: Mapping[str, str]  # by precision, the fastest; by benchmarks/lowering.py
    # emit(network, precision, **options of the export: opset, io); where there is a scheme for a
    # precision, its networks are marked.
    emit: Callable[..., File]
    schemes: Mapping[str, Scheme] = field(default_factory=dict)  # by precision of integers
    count_operators: Callable[[bytes], dict[str, Any]] | None = None
    plain: Callable[[Artifact, bytes], Graph] | None = None  # on the engine's plain kernels


class Derived(NamedTuple):
    """A file that was made of a bundle's others."""

    artifact: Artifact
    content: bytes
    files: Mapping[str, bytes]  # further files that belong to it, by name


@dataclass(frozen=True)
class Derivation:
    """A format whose file is made of another target's files, all at once."""

    name: str
    made_of: tuple[str, str]  # a target and a precision of it
    # derive(manifest, contents by name): the manifest has the artifacts there are until then
    derive: Callable[[Manifest, Mapping[str, bytes]], Derived]
    file: str
