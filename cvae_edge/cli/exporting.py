"""The commands that make, check and describe bundles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.output import TRUST, print_json, progress_bar
from cvae_edge.cli.subject import ALSO, DEFAULT_RUN, SUBJECT, one_bundle
from cvae_edge.quiet import quiet

_PRECISIONS = {"dynamic": "dynamic_range"}  # words of --quantize that are shorter than a precision


def register(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command()(export)
    app.command()(verify)
    app.command()(inspect)


def export(
    run: Path = typer.Argument(DEFAULT_RUN, help="A run folder."),
    format: str = typer.Option(
        "onnx,tflite", help="Some of onnx, tflite and c (for devices without a runtime), or all."
    ),
    fused: bool = typer.Option(True, help="Also reconstruct: both halves in one file."),
    quantize: str = typer.Option(
        "float16,dynamic,int8",
        help="Precisions beside float32: float16, dynamic, int8, int4; or none, or all.",
    ),
    lowering: str = typer.Option(
        "auto",
        help="How a decoder enlarges: auto (the format's fastest), measured (the fastest here), "
        "transposed, subpixel (the least memory in TFLite Micro), polyphase or hybrid.",
    ),
    max_elbo_drop: float | None = typer.Option(
        None,
        help="Nats a file may lose; by default 0.5, or if that is more 0.02% of the ELBO, or 0.003 "
        "bits for each grey or colour value.",
    ),
    opset: int | None = typer.Option(None, help="ONNX operator set."),
    io: str = typer.Option("float32", help="Inputs and outputs of int8 TFLite: float32 or int8."),
    data: str | None = typer.Option(None, help="Where the run's data is, if it was moved."),
    calibration_samples: int = typer.Option(500, help="Training images that set int8's ranges."),
    tune_epochs: float = typer.Option(
        2.0, help="Epochs that int8 and int4 are trained on for, rounding as files do; 0: none."
    ),
    out: Path | None = typer.Option(
        None, help="The bundle; by default export/ and the run's name."
    ),
) -> None:
    """Export encoder and decoder, check every file, and say what each costs."""
    need_tensorflow()
    from cvae_edge.cli.report import print_export
    from cvae_edge.exporters import export_bundle
    from cvae_edge.exporters.targets import formats, precisions

    asked = formats() if format == "all" else tuple(format.split(","))
    words = () if quantize == "none" else tuple(quantize.split(","))
    wanted = precisions() if quantize == "all" else tuple(_PRECISIONS.get(w, w) for w in words)
    with progress_bar() as bar:
        task = bar.add_task("exporting", total=None, note="")

        def show_stage(stage: str) -> None:
            bar.reset(task, note=stage)
            bar.tasks[task].total = None  # which reset keeps

        result = export_bundle(
            run,
            out or Path("export") / run.name,
            asked,
            ("float32", *wanted),
            data=data,
            fused=fused,
            lowering=lowering,
            max_elbo_drop=max_elbo_drop,
            opset=opset,
            io=io,
            calibration_samples=calibration_samples,
            tune_epochs=tune_epochs,
            on_stage=show_stage,
            on_step=lambda done, steps: bar.update(task, completed=done, total=steps),
        )
    print_export(result)
    if result.failures:
        raise typer.Exit(2)


def verify(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    threads: int | None = typer.Option(None, help="Threads of the runtime."),
    provider: str = typer.Option("cpu", help="What files run on: cpu, cuda, openvino, ..."),
    trust: bool = TRUST,
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Check a bundle on this machine: hashes, then every file's outputs against the golden ones."""
    from cvae_edge.cli.report import print_checks, require_right
    from cvae_edge.runtime.source import open_bundle
    from cvae_edge.runtime.verify import verify_bundle

    opened = open_bundle(one_bundle(subject, bundle), trust)
    with quiet():  # LiteRT announces its delegate
        checks = verify_bundle(opened, threads, provider)
    if json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        print_checks(opened.source, checks)
    require_right(opened.source, checks)


def inspect(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Describe a bundle: the model, its training, and each file with its size and cost."""
    from cvae_edge.cli.report import print_bundle
    from cvae_edge.runtime.source import open_bundle

    opened = open_bundle(one_bundle(subject, bundle))
    if json:
        print_json(opened.manifest.to_dict())
    else:
        print_bundle(opened)
