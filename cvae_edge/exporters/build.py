"""From a trained model to one file, opened in its own runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import keras

from cvae_edge.elbo import Array
from cvae_edge.exporters import onnx, onnx_quantization, tflite
from cvae_edge.exporters.calibration import calibration_set
from cvae_edge.exporters.networks import (
    Layout,
    decoder_network,
    encoder_network,
    reconstruct_network,
    unmarked,
)
from cvae_edge.exporters.quantization import SCHEMES, Plan, fake_quantize, make_plan
from cvae_edge.exporters.settings import Kind, Settings
from cvae_edge.exporters.subject import Subject
from cvae_edge.exporters.upsampling import Lowering, Mark
from cvae_edge.manifest import Artifact
from cvae_edge.quiet import quiet
from cvae_edge.runtime.graph import Graph, open_graph
from cvae_edge.training.model import Weights

_UNMARKED: Mark = unmarked


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
        self._plans: dict[tuple[str, str, Lowering], Plan] = {}

    def build(self, kind: Kind) -> Exported:
        """Build one file and open it.

        Raises:
            ConfigError: an opset that cannot be written.
            BundleError: its runtime cannot open it.
        """
        lowering = self.settings.lowering_of(kind)
        if kind.format == "onnx":
            content, opset, tensors = self._onnx(kind, lowering)
        else:
            content, opset, tensors = self._tflite(kind, lowering)
        artifact = Artifact(
            file=kind.file,
            format=kind.format,
            role=kind.role,
            precision=kind.precision,
            lowering=lowering,
            inputs=tensors[0],
            outputs=tensors[1],
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            opset=opset,
            report={"choices": self._choices(kind, lowering)},
        )
        with quiet():  # LiteRT announces its delegate
            graph = open_graph(artifact, content)
        return Exported(artifact, content, graph, self._steps(kind, lowering))

    def _onnx(self, kind: Kind, lowering: Lowering | None) -> tuple[bytes, int | None, tflite.Pair]:
        int8 = kind.precision == "int8"
        plan = self._plan(kind, lowering) if int8 else None
        weights = plan.weights if plan else self.subject.weights
        network = self._network(kind.role, weights, "channels_first", lowering)
        model = onnx.to_onnx(network, self.settings.opset)
        if plan:
            model = onnx_quantization.to_int8(model, plan.ranges, self.calibration)
        elif kind.precision == "float16":
            model = onnx_quantization.to_float16(model)
        elif kind.precision == "dynamic_range":
            model = onnx_quantization.to_dynamic_range(model)
        facts = {
            "role": kind.role,
            "precision": kind.precision,
            "lowering": lowering or "none",
            "latent_dim": self.subject.config.latent_dim,
            "image_shape": "x".join(map(str, self.subject.config.image_shape)),
            "binarize": self.subject.dataset.binarize,
        }
        return onnx.describe(model, facts), onnx.opset_of(model), onnx.tensors(model)

    def _tflite(
        self, kind: Kind, lowering: Lowering | None
    ) -> tuple[bytes, int | None, tflite.Pair]:
        weights, mark = self.subject.weights, _UNMARKED
        if kind.precision == "int8":
            plan = self._plan(kind, lowering)
            weights, mark = plan.weights, fake_quantize(plan.ranges)
        network = self._network(kind.role, weights, "channels_last", lowering, mark)
        content = tflite.to_tflite(network, kind.precision, self.settings.io)
        return content, None, tflite.tensors(content)

    def _network(
        self,
        role: str,
        weights: Weights,
        layout: Layout,
        lowering: Lowering | None,
        mark: Mark = _UNMARKED,
    ) -> keras.Model:
        config = self.subject.config
        if lowering is None:
            return encoder_network(config, weights, layout, mark)
        make = decoder_network if role == "decoder" else reconstruct_network
        return make(config, weights, layout, lowering, mark)

    @cached_property
    def calibration(self) -> dict[str, Array]:
        """The calibration set."""
        return calibration_set(self.subject, self.settings.calibration_samples)

    def _plan(self, kind: Kind, lowering: Lowering | None) -> Plan:
        key = (kind.role, kind.format, lowering or "polyphase")
        if key not in self._plans:
            scheme = SCHEMES[kind.format]
            self._plans[key] = make_plan(self.subject, kind.role, scheme, key[2], self.calibration)
        return self._plans[key]

    def _steps(self, kind: Kind, lowering: Lowering | None) -> dict[str, float]:
        if kind.precision != "int8":
            return {}
        ranges = self._plan(kind, lowering).ranges
        return {name: (high - low) / 255 for name, (low, high) in ranges.items()}

    def _choices(self, kind: Kind, lowering: Lowering | None) -> dict[str, str]:
        return self._plan(kind, lowering).choices if kind.precision == "int8" else {}
