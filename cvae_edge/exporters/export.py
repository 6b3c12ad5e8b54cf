"""From a run to a bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from cvae_edge.bundle import check_bundle_folder, new_bundle, sha256_of, write_manifest
from cvae_edge.elbo import loss_budget
from cvae_edge.errors import BundleError, ParityError
from cvae_edge.exporters import card
from cvae_edge.exporters.build import Builder, Exported
from cvae_edge.exporters.costs import (
    Elbos,
    check_and_measure,
    measure_latencies,
    measure_pairs,
    naive_files,
)
from cvae_edge.exporters.parity import Reference
from cvae_edge.exporters.settings import Kind, Settings
from cvae_edge.exporters.subject import Subject, load_subject
from cvae_edge.exporters.targets import Derivation
from cvae_edge.exporters.tune import OnStep, train_on
from cvae_edge.folders import temporary_files
from cvae_edge.manifest import GOLDEN, Manifest
from cvae_edge.model_config import ModelShape
from cvae_edge.training.run import Run
from cvae_edge.version import __version__
from cvae_edge.writing import new_file, write_bytes

_LOG = logging.getLogger(__name__)
_GOLDEN_IMAGES = 16
_TOOLS = ("tensorflow", "keras", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert", "numpy")
_FILES = (GOLDEN, card.SAMPLES, card.RECONSTRUCTIONS, card.CARD)


@dataclass(frozen=True)
class ExportResult:
    """A new bundle, and the files that were left out of it."""

    folder: Path
    manifest: Manifest
    failures: dict[str, str]  # by file: why it was left out, in a sentence


@temporary_files()
def export_bundle(
    run: str | Path | Run,
    out: str | Path,
    formats: Sequence[str] = ("onnx", "tflite"),
    precisions: Sequence[str] = ("float32",),
    *,
    data: str | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_step: OnStep = lambda done, steps: None,
    **options: Any,
) -> ExportResult:
    """Export a run, a finished one or the best weights of an unfinished one.

    Args:
        run: a run, or its folder; ``import_models`` makes one of Keras models.
        out: the bundle's folder; a bundle that is there stays until the new one is whole.
        formats: some of ``targets.formats()``.
        precisions: beside float32, which is always exported.
        data: where the run's data is now; None for where it was.
        on_stage: called with a few words as each stage begins.
        on_step: called in a stage whose length is known, with the steps done and all of them.
        **options: further fields of ``Settings``.

    Returns:
        The bundle. Files that are not the trained model, or lose more than ``max_elbo_drop``
        nats (None: ``elbo.loss_budget``), are left out of it and named in ``failures``.

    Raises:
        ConfigError: an unknown format or precision, or another option out of range.
        RunError, DataError: the run has no weights or is damaged, or its data is not there.
        BundleError: ``out`` exists and is no bundle.
        ParityError: a float32 file is not the trained model.
    """
    settings, out = Settings(formats, precisions, **options), Path(out)
    check_bundle_folder(out)
    on_stage("loading the run")
    subject = load_subject(run if isinstance(run, Run) else Run.open(run), data)
    builder = Builder(subject, settings)
    elbos = Elbos(subject, settings.held_out)
    drop = settings.max_elbo_drop
    budget = loss_budget(elbos.trained, subject.dataset.pixels) if drop is None else drop
    tuning = _tune(builder, on_stage, on_step)
    trained_on = None
    if any(entry["tuned"] for entry in tuning):
        on_stage("training on in float32 for as long")
        trained_on = elbos.of(train_on(subject, settings.tune_epochs, on_step))
    exported: list[Exported] = []
    failures: dict[str, str] = {}
    for kind in settings.kinds(subject.roles):
        on_stage(f"exporting {kind.file}")
        try:
            exported.append(_export(kind, builder, subject, elbos, budget))
        except ParityError as error:
            if kind.precision == "float32":
                raise
            failures[kind.file] = str(error)
            _LOG.info("%s is left out: %s", kind.file, error)
        else:
            _LOG.info("%s: %s", kind.file, exported[-1].artifact.elbo_difference)
    on_stage("timing the files")
    naive = naive_files(exported, subject, builder.calibration) if settings.compare else {}
    exported = measure_latencies(exported, naive)
    on_stage("measuring pairs")
    pairs = measure_pairs(exported, elbos, trained_on)
    report = {
        "trained_elbo": elbos.trained,
        "trained_psnr": elbos.trained_psnr,
        "trained_on_elbo": trained_on,
        "images": elbos.images,
        "loss_budget": budget,
        "pairs": pairs,
        "tuning": tuning,
        "notes": card.tuning_notes(tuning, pairs),
        "failures": failures,
    }
    on_stage("writing the bundle")
    with new_bundle(out) as folder:
        manifest = _write(folder, out.name, subject, exported, report, settings)
    return ExportResult(out, manifest, failures)


def _tune(
    builder: Builder, on_stage: Callable[[str], None], on_step: OnStep
) -> list[dict[str, Any]]:
    settings, report = builder.settings, []
    for format, precision in settings.integers() if settings.tune_epochs else ():
        on_stage(f"tuning {precision} for {format}")
        result = builder.tune(format, precision, settings.tune_epochs, on_step)
        report.append({"format": format, "precision": precision, **result})
    return report


def _export(
    kind: Kind, builder: Builder, subject: Subject, elbos: Elbos, max_elbo_drop: float
) -> Exported:
    exported = check_and_measure(builder.build(kind), subject, elbos)
    difference = exported.artifact.elbo_difference
    if kind.precision == "float32":  # parity has been checked
        return exported
    # An ELBO that is NaN is no smaller than anything, so ask what must hold.
    if difference is not None and not -difference <= max_elbo_drop:
        raise ParityError(
            f"{kind.file} must not lose more than {max_elbo_drop:g} nats (--max-elbo-drop), "
            f"it loses {-difference:.3f}: use float16 for the {kind.role}, or try more "
            "--calibration-samples or another --lowering"
        )
    return exported


def _write(
    folder: Path,
    name: str,
    subject: Subject,
    exported: list[Exported],
    report: dict[str, Any],
    settings: Settings,
) -> Manifest:
    for e in exported:
        write_bytes(folder / e.artifact.file, e.content)
    _write_golden(folder, subject.reference.take(_GOLDEN_IMAGES), exported)
    card.draw_samples(exported, subject.vae.latent_dim, folder)
    rows = card.draw_reconstructions(exported, subject.reference, folder)
    manifest = Manifest(
        name=name,
        model=ModelShape(subject.image_shape, subject.vae.latent_dim),
        pixels=subject.dataset.pixels,
        likelihood=subject.likelihood,
        artifacts=tuple(e.artifact for e in exported),
        files={},
        training=subject.training(),
        tools={"cvae-edge": __version__, **{tool: metadata.version(tool) for tool in _TOOLS}},
        report=report,
    )
    manifest, beside = _derive(folder, manifest, exported, settings.derivations())
    card.write_card(folder, manifest, rows, settings.card)
    files = {file: sha256_of(folder / file) for file in (*_FILES, *beside)}
    manifest = manifest._replace(files=files)
    write_manifest(folder, manifest)
    return manifest


def _derive(
    folder: Path,
    manifest: Manifest,
    exported: list[Exported],
    derivations: Sequence[Derivation],
) -> tuple[Manifest, list[str]]:
    """Write the files that are made of others; return the names of the files beside them.

    What cannot be made is named in the report's failures.
    """
    contents = {e.artifact.file: e.content for e in exported}
    beside: list[str] = []
    for derivation in derivations:
        try:
            artifact, content, files = derivation.derive(manifest, contents)
        except BundleError as error:
            manifest.report["failures"][derivation.file] = str(error)
            continue
        for name, text in {artifact.file: content, **files}.items():
            write_bytes(folder / name, text)
        manifest = manifest._replace(artifacts=(*manifest.artifacts, artifact))
        beside += files
    return manifest, beside


def _write_golden(folder: Path, reference: Reference, exported: list[Exported]) -> None:
    """Write the inputs, what the trained model gave, and what each file gave, by FILE/NAME."""
    arrays = dict(reference.tensors)
    for e in exported:
        outputs = e.graph(**reference.inputs(e.artifact.role))
        arrays |= {f"{e.artifact.file}/{name}": value for name, value in outputs.items()}
    with new_file(folder / GOLDEN) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
