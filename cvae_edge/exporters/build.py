"""From a trained model to one file, opened in its own engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from cvae_edge.codec import Graph
from cvae_edge.elbo import Array
from cvae_edge.errors import BundleError
from cvae_edge.exporters.calibration import calibration_set
from cvae_edge.exporters.int8 import IntegerPlan, plan_integers
from cvae_edge.exporters.passes.fuse import Sample
from cvae_edge.exporters.passes.kinds import is_known
from cvae_edge.exporters.passes.lower import LOWERINGS, lower
from cvae_edge.exporters.passes.quantize import unmarked
from cvae_edge.exporters.settings import LOWERED, Kind, Settings
from cvae_edge.exporters.subject import Subject
from cvae_edge.exporters.targets import TARGETS, File
from cvae_edge.exporters.tune import OnStep, Pair, tune
from cvae_edge.guard import check_graph
from cvae_edge.manifest import HALVES, Artifact
from cvae_edge.model_config import ModelShape
from cvae_edge.quiet import quiet
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.timing import make_call, median_microseconds
from cvae_edge.training.evaluate import as_graph


@dataclass(frozen=True)
class Exported:
    """A file's bytes, what the manifest says of it, and the file as a function."""

    artifact: Artifact
    content: bytes
    graph: Graph
    steps: Mapping[str, float]  # by output of integers: what one integer is worth
    exact: Graph | None = None  # without the rounding of integers; None: as it was trained


class Builder:
    """Builds files of one model; plans of quantization are made once and shared."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self.subject, self.settings = subject, settings
        self._plans: dict[tuple[str, str, str, str], IntegerPlan] = {}
        self._fastest: dict[Kind, str] = {}

    def build(self, kind: Kind) -> Exported:
        """Build one file and open it.

        Raises:
            ConfigError: an opset that cannot be written.
            BundleError: its engine cannot open it.
        """
        lowering = self._lowering(kind)
        plan = self._plan(kind, lowering)
        file = self._file(kind, lowering)
        artifact = Artifact(
            file=kind.file,
            format=kind.format,
            role=kind.role,
            precision=kind.precision,
            lowering=lowering if kind.role in LOWERED else None,
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
        exact = as_graph(unmarked(plan.network)) if plan else None
        return Exported(artifact, file.content, graph, plan.steps if plan else {}, exact)

    def tune(self, format: str, precision: str, epochs: float, on_step: OnStep) -> dict[str, Any]:
        """Train on what the encoder and the decoder of a precision of integers store; see ``tune``.

        What is built from then on is what that gives.
        """
        encoder, decoder = (Kind(role, format, precision) for role in HALVES)
        pair = Pair(
            self._network(encoder, self._lowering(encoder)),
            self._network(decoder, self._lowering(decoder)),
            TARGETS[format].schemes[precision],
        )
        return tune(self.subject, pair, epochs, on_step)

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

    def _lowering(self, kind: Kind) -> str:
        wanted = self.settings.lowering_of(kind)
        if wanted != "measured":
            return wanted
        if kind not in self._fastest:
            calls = {}
            for name in LOWERINGS:
                f = self._file(kind, name)
                facts = (kind.file, kind.format, kind.role, kind.precision, name)
                artifact = Artifact(*facts, f.inputs, f.outputs, len(f.content), sha256="")
                with quiet():  # as above
                    calls[name] = make_call(artifact, f.content)
            times = median_microseconds(calls)
            self._fastest[kind] = min(times, key=lambda name: times[name])
        return self._fastest[kind]

    def _file(self, kind: Kind, lowering: str) -> File:
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
        network = self._network(kind, lowering)
        return TARGETS[kind.format].emit(network, kind.precision, **options)

    def _network(self, kind: Kind, lowering: str) -> keras.Model:
        plan = self._plan(kind, lowering)
        return plan.network if plan else lower(self.subject.networks[kind.role], lowering)

    def _plan(self, kind: Kind, lowering: str) -> IntegerPlan | None:
        scheme = TARGETS[kind.format].schemes.get(kind.precision)
        if scheme is None:
            return None
        key = (kind.role, kind.format, kind.precision, lowering)
        if key not in self._plans:
            self._plans[key] = plan_integers(
                self.subject, kind.role, scheme, lowering, self.calibration
            )
        return self._plans[key]


def unknown_layers(network: keras.Model) -> list[str]:
    """Return the layers that no pass knows: exported as Keras does it, in float."""
    return [
        f"{layer.name.partition('.')[2] or layer.name} ({type(layer).__name__})"
        for layer in network.layers
        if not isinstance(layer, (keras.layers.InputLayer, Sample)) and not is_known(layer)
    ]
