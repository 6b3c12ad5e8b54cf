"""The commands that tell anomalous images from good ones."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.cli.device import counter, load, read, streaming
from cvae_edge.cli.options import (
    ALSO,
    BUNDLE,
    DATA,
    FORMAT,
    IMAGES,
    JSON,
    OUTPUT,
    PRIOR,
    PROVIDER,
    RESIZE,
    RUNNING,
    SEED,
    SUBJECT,
    THREADS,
    TRUST,
    Running,
    as_precision,
    one_bundle,
    with_running,
)
from cvae_edge.cli.output import print_json, print_table, say
from cvae_edge.model_config import require


@with_running
def score(
    running: Running,
    images: list[str] = IMAGES,
    bundle: Path | None = BUNDLE,
    samples: int = typer.Option(
        0,
        help="Draws for each image, for the IWAE bound. 0 uses the mean and no noise.",
        rich_help_panel=RUNNING,
    ),
    seed: int = SEED,
    threshold: float | None = typer.Option(
        None,
        help="Bound in nats below which an image is anomalous, in place of the monitor.",
        rich_help_panel=DATA,
    ),
    percentile: float | None = typer.Option(
        None,
        help="Percentile of the bounds of --reference to use as the threshold.",
        rich_help_panel=DATA,
    ),
    reference: str | None = typer.Option(
        None, help="Good images, for --percentile.", rich_help_panel=DATA
    ),
    heatmaps: str | None = typer.Option(
        None, help="Folder for pictures with anomalous places marked.", rich_help_panel=OUTPUT
    ),
    out: str = typer.Option(
        "-", help="A .csv file to write, or - for stdout.", rich_help_panel=OUTPUT
    ),
    resume: bool = typer.Option(
        False,
        "--resume",
        help="Append rows to --out as they come, after those of a command that was stopped.",
        rich_help_panel=OUTPUT,
    ),
    resize: bool = RESIZE,
    prior: str = PRIOR,
    json: bool = JSON,
) -> None:
    """Score images with the bundle's monitor or, without one, with the negative of their bound.

    Higher is more anomalous; a monitor's threshold is 1. The exit code is 1 if an image is
    anomalous.
    """
    model = load(bundle, running, prior=prior)
    import numpy as np

    from cvae_edge.fitting import Fitted
    from cvae_edge.runtime.score_table import Begun, append_scores, write_scores
    from cvae_edge.runtime.scores import fit_threshold, judge_stream, score_images

    require(
        (percentile is None) == (reference is None) and None in (threshold, percentile),
        "give --threshold, or --percentile with --reference, or neither",
        f"--threshold {threshold} --percentile {percentile} --reference {reference}",
    )
    require(
        heatmaps is None or (threshold is None and percentile is None),
        "--heatmaps show the monitor's verdicts: give no --threshold or --percentile with it",
        heatmaps,
    )
    require(
        not resume or (out.endswith(".csv") and not json),
        "--resume appends rows to a .csv: give --out NAME.csv, and no --json",
        f"--out {out}" + (" --json" if json else ""),
    )
    begun = Begun(Path(out)) if resume else None
    pixels = model.manifest.pixels
    if reference is not None and percentile is not None:
        with streaming("scoring the reference", [reference], pixels, resize) as stream:
            normal = [model.score(Fitted(named.images), samples, seed) for named in stream]
        threshold = fit_threshold(np.concatenate(normal), percentile)
    monitored = heatmaps is not None or (threshold is None and model.manifest.monitor is not None)
    if monitored:
        pixels = pixels._replace(image_shape=model.monitor.settings.image_shape)
    done = () if begun is None else begun.names()
    with streaming("scoring", images, pixels, resize, done) as stream:
        if monitored:
            chunks = judge_stream(model, stream, samples, seed, heatmaps, with_boxes=json)
        else:
            chunks = (score_images(model, named, samples, seed, threshold) for named in stream)
        if begun is not None:
            scores = append_scores(begun, stream.skipped, chunks, stream.inputs())
        else:
            csv = None if json and out == "-" else out
            scores = write_scores(csv, chunks, stream.inputs(), keep_rows=json)
    if json:
        print_json(scores.to_dict())
    elif not scores.unit:
        say(f"{out} has a row for each of these images already.")
    else:
        what = "1 is the monitor's threshold; bounds" if monitored else "Scores"
        say(f"{what} are in {scores.unit}.", err=out == "-")
    raise typer.Exit(1 if scores.anomalies else 0)


def monitor(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    good: list[str] | None = typer.Option(
        None,
        help="Good images that the model was not trained on. May be given several times.",
        rich_help_panel=DATA,
    ),
    false_alarms: float = typer.Option(
        0.01, help="Share of good images that may be called anomalous.", rich_help_panel=DATA
    ),
    method: str | None = typer.Option(
        None, help="Scoring method. By default field.", rich_help_panel=DATA
    ),
    windows: bool = typer.Option(
        False,
        help="Inspect images larger than the model's in overlapping windows.",
        rich_help_panel=DATA,
    ),
    report: Path | None = typer.Option(
        None,
        help="Compare the scores in this .csv, which score wrote, with the good images'.",
        rich_help_panel=DATA,
    ),
    out: Path = typer.Option(Path("drift.png"), help="Plot of --report.", rich_help_panel=OUTPUT),
    resize: bool = RESIZE,
    precision: str = typer.Option(
        "all",
        help="Precisions to fit the monitor for: float32, int8, ..., or all.",
        rich_help_panel=RUNNING,
    ),
    format: str = FORMAT,
    threads: int | None = THREADS,
    provider: str = PROVIDER,
    trust: bool = TRUST,
    json: bool = JSON,
) -> None:
    """Fit a monitor on good images, or compare a day's scores with it."""
    bundle = one_bundle(subject, bundle)
    require(
        (good is None) != (report is None),
        "give --good IMAGES to fit a monitor, or --report SCORES.csv",
        "both" if good else "neither",
    )
    if report is not None:
        _report(bundle, report, out, precision, format, trust, json)
        return
    from cvae_edge.monitor.rates import check_rate
    from cvae_edge.runtime.inputs import ImageStream
    from cvae_edge.runtime.monitoring import fit_bundle
    from cvae_edge.runtime.source import open_bundle

    check_rate(false_alarms)
    sources = good or []
    pixels = open_bundle(bundle, trust).manifest.pixels
    if windows:
        pixels = pixels._replace(image_shape=ImageStream(sources, pixels).first_shape())
    named = read(sources, pixels, resize, skip_broken=True)
    with counter("fitting") as count:
        fitted = fit_bundle(
            bundle,
            named.images,
            method=method,
            false_alarms=false_alarms,
            precisions=[as_precision(word) for word in precision.split(",")],
            format=format,
            threads=threads,
            provider=provider,
            trust=trust,
            on_pair=count,
        )
    if json:
        print_json(fitted.to_dict())
        return
    settings = fitted.settings
    print_table(
        f"{fitted.folder}: a monitor of the method {settings.method}, fitted on {settings.images} "
        f"good images so that {settings.false_alarms:.3g} of good ones are called anomalous",
        ["files", "false alarms, 95% interval"],
        [
            [
                " ".join(artifact.file for artifact in files),
                "{:.2%} to {:.2%}".format(*m.fit.interval),
            ]
            for files, m in fitted.monitors
        ],
    )


def _report(
    bundle: Path | None, report: Path, out: Path, precision: str, format: str, trust: bool,
    json: bool,
) -> None:  # fmt: skip
    """Compare a .csv of scores with what the monitor was fitted on, and draw both."""
    from cvae_edge.monitor.drift import measure_drift, plot_drift, read_scores

    scores = read_scores(report)
    precision = "float32" if precision == "all" else precision
    monitor = load(bundle, Running(precision, format, 1, "cpu", trust)).monitor
    drift = measure_drift(scores, monitor)
    try:
        plot_drift(out, scores, monitor.fit.quantiles)
        drawn = f"the distributions are in {out}"
    except ImportError:
        drawn = "no plot, for matplotlib is not installed: pip install matplotlib"
    if json:
        print_json({**drift._asdict(), "sentence": drift.sentence(), "plot": drawn})
    else:
        say(f"{drift.sentence()}; {drawn}.")
