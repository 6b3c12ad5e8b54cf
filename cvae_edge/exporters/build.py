"""From a trained model to one file, opened in its own engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import keras

from cvae_edge.codec import Graph
from cvae_edge.elbo import Array
from cvae_edge.errors import BundleError
from cvae_edge.exporters.calibration import calibration_set
from cvae_edge.exporters.int8 import Plan, make_plan
from cvae_edge.exporters.passes.kinds import is_known
from cvae_edge.exporters.passes.lower import LOWERINGS, lower
from cvae_edge.exporters.settings import Kind, Settings
from cvae_edge.exporters.subject import Subject
from cvae_edge.exporters.targets import TARGETS, File
from cvae_edge.guard import check_graph
from cvae_edge.manifest import Artifact
from cvae_edge.model_config import ModelShape
from cvae_edge.quiet import quiet
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.timing import make_call, median_microseconds


@dataclass(frozen=True)
class Exported:
    """A file's bytes, what the manifest says of it, and the file as a function."""

    artifact: Artifact
    content: bytes
    graph: Graph
    steps: Mapping[str, float]  # by int8 output: what one integer is worth


class Builder:
    """Builds files of one model; plans of quantization are made once and shared."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self.subject, self.settings = subject, settings
        self._plans: dict[tuple[str, str, str], Plan] = {}

    def build(self, kind: Kind) -> Exported:
        """Build one file and open it.

        Raises:
            ConfigError: an opset that cannot be written.
            BundleError: its engine cannot open it.
        """
        lowering, file = self._lowered(kind)
        key = (kind.role, kind.format, lowering)
        plan = self._plans.get(key) if kind.precision == "int8" else None
        artifact = Artifact(
            file=kind.file,
            format=kind.format,
            role=kind.role,
            precision=kind.precision,
            lowering=None if kind.role == "encoder" else lowering,
            inputs=file.inputs,
            outputs=file.outputs,
            size_bytes=len(file.content),
            sha256=hashlib.sha256(file.content).hexdigest(),
            opset=file.opset,
            report={
                "choices": plan.choices if plan else {},
                "unknown_layers": unknown_layers(self.subject.networks[kind.role]),
                **self._needs_trust(kind, file),
            },
        )
        with quiet():  # LiteRT announces its delegate
            graph = open_session(artifact, file.content)
        return Exported(artifact, file.content, graph, plan.steps if plan else {})

    @cached_property
    def calibration(self) -> dict[str, Array]:
        """The calibration set."""
        return calibration_set(self.subject, self.settings.calibration_samples)

    def _needs_trust(self, kind: Kind, file: File) -> dict[str, str]:
        """Return why devices run a file only if they are told to, for an artifact's report."""
        shape = ModelShape(self.subject.image_shape, self.subject.vae.latent_dim)
        try:
            check_graph(kind.file, kind.format, file.content, shape, trusted=False)
        except BundleError as error:
            return {"needs_trust": str(error)}
        return {}

    def _lowered(self, kind: Kind) -> tuple[str, File]:
        """Return the lowering, and the file that it gives."""
        wanted = self.settings.lowering_of(kind)
        if wanted != "measured":
            return wanted, self._file(kind, wanted)
        files = {lowering: self._file(kind, lowering) for lowering in LOWERINGS}
        calls = {}
        for name, f in files.items():
            facts = (kind.file, kind.format, kind.role, kind.precision, name, f.inputs, f.outputs)
            with quiet():  # as above
                calls[name] = make_call(Artifact(*facts, len(f.content), sha256=""), f.content)
        times = median_microseconds(calls)
        best = min(times, key=lambda name: times[name])
        return best, files[best]

    def _file(self, kind: Kind, lowering: str) -> File:
        target = TARGETS[kind.format]
        network = self._network(kind, lowering)
        facts = {
            "role": kind.role,
            "precision": kind.precision,
            "lowering": lowering,
            "latent_dim": self.subject.vae.latent_dim,
            "image_shape": "x".join(map(str, self.subject.image_shape)),
            "binarize": self.subject.binarize,
            "likelihood": self.subject.likelihood.name,
        }
        settings = self.settings
        options = {"opset": settings.opset, "io": settings.io, "facts": facts}
        return target.emit(lower(network, lowering), kind.precision, **options)

    def _network(self, kind: Kind, lowering: str) -> keras.Model:
        scheme = TARGETS[kind.format].scheme
        if kind.precision != "int8" or scheme is None:
            return self.subject.networks[kind.role]
        key = (kind.role, kind.format, lowering)
        if key not in self._plans:
            self._plans[key] = make_plan(
                self.subject, kind.role, scheme, lowering, self.calibration
            )
        return self._plans[key].network


def unknown_layers(network: keras.Model) -> list[str]:
    """Return the layers that no pass knows: exported as Keras does it, in float."""
    return [
        f"{layer.name.partition('.')[2] or layer.name} ({type(layer).__name__})"
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer) and not is_known(layer)
    ]
