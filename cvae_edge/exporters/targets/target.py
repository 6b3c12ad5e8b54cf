"""What a target is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from cvae_edge.codec import Graph
from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.quantize import Scheme
from cvae_edge.manifest import Artifact, Tensor

Call = Callable[[], object]


@dataclass(frozen=True)
class File:
    """An exported file's bytes, and its tensors by the names of the bundle's format."""

    content: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int | None = None


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
    make_call: Callable[[bytes, int, int], Call] | None = None  # content, batch, threads
    # naive(model, precision, inputs): the tools' own export, with their defaults; None: no such
    naive: Callable[[keras.Model, str, Mapping[str, Array]], bytes | None] | None = None
