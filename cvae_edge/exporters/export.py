"""From a finished run to a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cvae_edge.bundle import (
    FORMATS,
    GOLDEN,
    PRECISIONS,
    Artifact,
    Manifest,
    check_output,
    new_bundle,
    sha256_of,
    write_manifest,
)
from cvae_edge.config import require
from cvae_edge.elbo import Codec, evaluate
from cvae_edge.exporters import card, onnx, tflite
from cvae_edge.exporters.networks import Layout, Lowering, decoder_network, encoder_network
from cvae_edge.exporters.parity import Reference, check_parity
from cvae_edge.exporters.subject import Subject, load_subject
from cvae_edge.runtime.graph import Graph, GraphCodec, open_graph
from cvae_edge.training.quiet import quiet
from cvae_edge.version import __version__

_GOLDEN_IMAGES = 16
_TOOLS = ("tensorflow", "keras", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert", "numpy")
_LAYOUTS: dict[str, Layout] = {"onnx": "channels_first", "tflite": "channels_last"}


@dataclass(frozen=True)
class Settings:
    """What to export, and how."""

    formats: Sequence[str] = ("onnx", "tflite")
    precisions: Sequence[str] = ("float32",)
    lowering: Literal["auto", "transposed", "subpixel"] = "auto"
    max_elbo_drop: float = 0.5  # nats; an artifact that loses more is left out
    opset: int | None = None
    calibration_samples: int = 500
    io: Literal["float32", "int8"] = "float32"  # inputs and outputs of int8 TFLite files
    held_out: int = 2000  # test images that an artifact's ELBO is measured on

    def __post_init__(self) -> None:
        for name, known in (("formats", FORMATS), ("precisions", PRECISIONS)):
            got = getattr(self, name)
            require(
                bool(got) and set(got) <= set(known),
                f"{name} must be some of {', '.join(known)}",
                ", ".join(got) or "none",
            )
        require(self.held_out >= 1, "held_out must be at least 1", self.held_out)


@dataclass(frozen=True)
class ExportResult:
    """A new bundle, and what is missing from it."""

    folder: Path
    manifest: Manifest
    failures: dict[str, str]  # by file: why it was left out, in a sentence


@dataclass(frozen=True)
class Exported:
    """A file's bytes, what the manifest says of it, and the file as a function."""

    artifact: Artifact
    content: bytes
    graph: Graph


def export_bundle(
    run_folder: Path,
    out: Path,
    formats: Sequence[str] = ("onnx", "tflite"),
    precisions: Sequence[str] = ("float32",),
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    **options: Any,
) -> ExportResult:
    """Export a finished run; see ``Settings`` for the options.

    Args:
        run_folder: the run.
        out: the bundle's folder; a bundle that is there stays until the new one is whole.
        formats: onnx, tflite or both.
        precisions: beside float32, which is always exported.
        on_stage: called with a few words as each stage begins.
        **options: further fields of ``Settings``.

    Raises:
        ConfigError: an unknown format, precision or option value.
        RunError, DataError: the run is unfinished or damaged, or its data is not there.
        BundleError: ``out`` exists and is no bundle.
        ParityError: a float32 file does not do what the trained model does.
    """
    settings = Settings(formats, precisions, **options)
    check_output(out)
    on_stage("loading the run")
    subject = load_subject(run_folder)
    exported: list[Exported] = []
    for format in settings.formats:
        for role in ("encoder", "decoder"):
            on_stage(f"exporting {role}.{format}")
            exported.append(_export_float32(subject, format, role, settings))
    on_stage("measuring")
    exported, report = _measure(subject, exported, settings)
    on_stage("writing the bundle")
    with new_bundle(out) as folder:
        manifest = _write(folder, out.name, subject, exported, report)
    return ExportResult(out, manifest, {})


def _export_float32(subject: Subject, format: str, role: str, settings: Settings) -> Exported:
    layout = _LAYOUTS[format]
    lowering: Lowering | None = None
    if role == "decoder":
        lowering = _LOWERINGS[format] if settings.lowering == "auto" else settings.lowering
        network = decoder_network(subject.config, subject.weights, layout, lowering)
    else:
        network = encoder_network(subject.config, subject.weights, layout)
    if format == "onnx":
        with quiet():
            model = onnx.to_onnx(network, settings.opset)
        inputs, outputs = onnx.tensors(model)
        opset = model.opset_import[0].version
        content = onnx.describe(model, {"role": role, "precision": "float32"})
    else:
        content = tflite.to_tflite(network)
        inputs, outputs = tflite.tensors(content)
        opset = None
    artifact = Artifact(
        file=f"{role}.{format}",
        format=format,
        role=role,
        precision="float32",
        lowering=lowering,
        inputs=inputs,
        outputs=outputs,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        opset=opset,
    )
    with quiet():  # LiteRT announces its delegate
        graph = open_graph(artifact, content)
    differences = check_parity(artifact, graph, subject.reference)
    largest = {name: d.largest for name, d in differences.items()}
    # Another float32 machine is about as far from this one as this one is from TensorFlow.
    tolerance = {name: max(1e-4, 10 * value) for name, value in largest.items()}
    return Exported(replace(artifact, difference=largest, tolerance=tolerance), content, graph)


_LOWERINGS: dict[str, Lowering] = {"onnx": "transposed", "tflite": "subpixel"}


class _Half:
    """One exported half and the trained model's other half, as a codec."""

    def __init__(self, exported: Exported, trained: Codec) -> None:
        own = GraphCodec(exported.graph, exported.graph)
        is_encoder = exported.artifact.role == "encoder"
        self.encode = own.encode if is_encoder else trained.encode
        self.decode = trained.decode if is_encoder else own.decode


def _measure(
    subject: Subject, exported: list[Exported], settings: Settings
) -> tuple[list[Exported], dict[str, Any]]:
    images = subject.dataset.test.images[: settings.held_out]
    how = subject.dataset.binarize
    trained = evaluate(subject.trained, images, how).elbo
    measured = []
    for e in exported:
        elbo = evaluate(_Half(e, subject.trained), images, how).elbo
        artifact = replace(e.artifact, elbo=elbo, elbo_difference=elbo - trained)
        measured.append(replace(e, artifact=artifact))
    return measured, {"trained_elbo": trained, "images": len(images)}


def _write(
    folder: Path, name: str, subject: Subject, exported: list[Exported], report: dict[str, Any]
) -> Manifest:
    for e in exported:
        (folder / e.artifact.file).write_bytes(e.content)
    _write_golden(folder, subject.reference.take(_GOLDEN_IMAGES), exported)
    decoder = next(e.graph for e in exported if e.artifact.role == "decoder")
    card.draw_samples(decoder, subject.config.latent_dim, folder)
    artifacts = tuple(e.artifact for e in exported)
    card.write_card(folder, name, subject, artifacts, report)
    manifest = Manifest(
        name=name,
        model=subject.config,
        binarize=subject.dataset.binarize,
        artifacts=artifacts,
        files={file: sha256_of(folder / file) for file in (GOLDEN, card.SAMPLES, card.CARD)},
        training=subject.training(),
        tools={"cvae-edge": __version__, **{tool: metadata.version(tool) for tool in _TOOLS}},
        report=report,
    )
    write_manifest(folder, manifest)
    return manifest


def _write_golden(folder: Path, reference: Reference, exported: list[Exported]) -> None:
    arrays = dict(reference.tensors)
    for e in exported:
        outputs = e.graph(**reference.inputs(e.artifact.role))
        arrays |= {f"{e.artifact.file}/{name}": value for name, value in outputs.items()}
    np.savez_compressed(folder / GOLDEN, **arrays)  # type: ignore[arg-type]
