"""The commands that make, check and describe bundles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.options import (
    ALSO,
    DEFAULT_RUN,
    JSON,
    MODEL,
    MOVED_DATA,
    OUTPUT,
    PROVIDER,
    SUBJECT,
    THREADS,
    TRUST,
    as_precision,
    one_bundle,
)
from cvae_edge.cli.output import print_json, progress_bar
from cvae_edge.quiet import quiet


def export(
    run: Path = typer.Argument(DEFAULT_RUN, help="Run folder to export."),
    format: str = typer.Option(
        "onnx,tflite",
        help="Formats to write: onnx, tflite, c (for devices without a runtime), several, or all.",
        rich_help_panel=OUTPUT,
    ),
    fused: bool = typer.Option(
        True,
        help="Also write reconstruct: encoder and decoder in one file.",
        rich_help_panel=OUTPUT,
    ),
    quantize: str = typer.Option(
        "float16,dynamic,int8",
        help="Precisions beside float32: float16, dynamic, int8, int4, several, none, or all.",
        rich_help_panel=MODEL,
    ),
    lowering: str = typer.Option(
        "auto",
        help="Form of the decoder's enlarging layers: auto (the format's fastest), "
        "measured (the fastest here), "
        "transposed, subpixel (the least memory in TFLite Micro), phases (for an Arm Ethos-U), "
        "polyphase or hybrid.",
        rich_help_panel=MODEL,
    ),
    max_elbo_drop: float | None = typer.Option(
        None,
        help="Nats that a file may lose. By default 0.5 or, if that is more, 0.02% of the ELBO, or "
        "0.003 bits for each grey or colour value.",
        rich_help_panel=MODEL,
    ),
    opset: int | None = typer.Option(
        None, help="Version of the ONNX operator set.", rich_help_panel=OUTPUT
    ),
    io: str = typer.Option(
        "float32",
        help="Type of the inputs and outputs of int8 TFLite files: float32 or int8.",
        rich_help_panel=OUTPUT,
    ),
    data: str | None = MOVED_DATA,
    calibration_samples: int = typer.Option(
        500, help="Number of training images that set the ranges of int8.", rich_help_panel=MODEL
    ),
    tune_epochs: float = typer.Option(
        2.0,
        help="Epochs of further training with the rounding of int8 and int4 in place. "
        "0 turns it off.",
        rich_help_panel=MODEL,
    ),
    compare: bool = typer.Option(
        False, help="Time the tools' own export beside each file.", rich_help_panel=OUTPUT
    ),
    card: Path | None = typer.Option(
        None,
        help="TOML file with what the card cannot know: license, version, date, data, "
        "intended_use, limits.",
        rich_help_panel=OUTPUT,
    ),
    out: Path | None = typer.Option(
        None,
        help="Folder of the bundle. By default export/ and the run's name.",
        rich_help_panel=OUTPUT,
    ),
) -> None:
    """Export encoder, decoder and prior, check every file, and say what each costs."""
    need_tensorflow()
    from cvae_edge.cli.report import print_export
    from cvae_edge.exporters import export_bundle
    from cvae_edge.exporters.card_details import CardDetails, read_card_details
    from cvae_edge.exporters.targets import formats, precisions

    details = CardDetails() if card is None else read_card_details(card)
    asked = formats() if format == "all" else tuple(format.split(","))
    words = () if quantize == "none" else tuple(quantize.split(","))
    wanted = precisions() if quantize == "all" else tuple(map(as_precision, words))
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
            compare=compare,
            card=details,
            on_stage=show_stage,
            on_step=lambda done, steps: bar.update(task, completed=done, total=steps),
        )
    print_export(result)
    if result.failures:
        raise typer.Exit(2)


def verify(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    threads: int | None = THREADS,
    provider: str = PROVIDER,
    trust: bool = TRUST,
    json: bool = JSON,
) -> None:
    """Check a bundle on this machine: its hashes, and the outputs of every file."""
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
    json: bool = JSON,
) -> None:
    """Describe a bundle: its model, its training, and the size and cost of each file."""
    from cvae_edge.cli.report import print_bundle
    from cvae_edge.runtime.source import open_bundle

    opened = open_bundle(one_bundle(subject, bundle))
    if json:
        print_json(opened.manifest.to_dict())
    else:
        print_bundle(opened)
