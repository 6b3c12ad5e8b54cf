"""The command that evaluates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.options import (
    ALSO,
    DATA,
    DEFAULT_RUN,
    JSON,
    PRIOR,
    RUNNING,
    TRUST,
    as_precision,
    one_bundle,
)
from cvae_edge.cli.output import print_json, print_table, progress_bar
from cvae_edge.quiet import quiet

if TYPE_CHECKING:
    from cvae_edge.elbo import Evaluation
    from cvae_edge.likelihoods import Likelihood
    from cvae_edge.preprocess import Binarize

    Evaluated = tuple[Evaluation, Likelihood, Binarize]


def evaluate(
    subject: Path | None = typer.Argument(
        None, metavar="RUN_OR_BUNDLE", help="A run folder or a bundle; by default runs/mnist."
    ),
    bundle: Path | None = ALSO,
    samples: int = typer.Option(
        1,
        help="Draws for each image: the k of the importance-weighted bound.",
        rich_help_panel=RUNNING,
    ),
    seed: int = typer.Option(0, help="Seed of the noise.", rich_help_panel=RUNNING),
    format: str = typer.Option(
        "onnx", help="Format of a bundle's files: onnx or tflite.", rich_help_panel=RUNNING
    ),
    encoder: str = typer.Option(
        "float32",
        help="Precision of a bundle's encoder.",
        callback=as_precision,
        rich_help_panel=RUNNING,
    ),
    decoder: str = typer.Option(
        "float32",
        help="Precision of a bundle's decoder.",
        callback=as_precision,
        rich_help_panel=RUNNING,
    ),
    prior: str = PRIOR,
    data: str | None = typer.Option(
        None, help="Data to evaluate on, in place of the run's own.", rich_help_panel=DATA
    ),
    trust: bool = TRUST,
    json: bool = JSON,
) -> None:
    """Compute the ELBO and the importance-weighted bound (IWAE) on test images."""
    from cvae_edge.likelihoods import unit
    from cvae_edge.manifest import MANIFEST

    target = one_bundle(subject, bundle) or DEFAULT_RUN
    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=None, note="")

        def on_batch(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if target.suffix == ".zip" or (target / MANIFEST).exists():
            parts = (format, encoder, decoder, prior)
            result, likelihood, binarize = _evaluate_files(
                target, trust, parts, data, samples, seed, on_batch
            )
        else:
            result, likelihood, binarize = _evaluate_run(
                target, prior, data, samples, seed, on_batch
            )
    nats = unit(likelihood.name, binarize)
    if json:
        print_json({**result._asdict(), "likelihood": likelihood.name, "unit": nats})
        return
    print_evaluation(f"{target}, {result.images} test images", result, nats)


def _evaluate_files(
    target: Path,
    trust: bool,
    parts: tuple[str, str, str, str],
    data: str | None,
    samples: int,
    seed: int,
    on_batch: Callable[[int, int], None],
) -> Evaluated:
    from cvae_edge.runtime.evaluate import evaluate_bundle, open_codec
    from cvae_edge.runtime.source import open_bundle

    opened = open_bundle(target, trust)
    with quiet():  # LiteRT announces its delegate
        codec = open_codec(opened, *parts)
    result = evaluate_bundle(opened, codec, data, samples, seed, on_batch)
    return result, opened.manifest.likelihood, opened.manifest.pixels.binarize


def _evaluate_run(
    target: Path,
    prior: str,
    data: str | None,
    samples: int,
    seed: int,
    on_batch: Callable[[int, int], None],
) -> Evaluated:
    need_tensorflow()
    from cvae_edge.training.evaluate import evaluate_run, load_run_data
    from cvae_edge.training.run import Run

    run = Run.open(target)
    dataset = load_run_data(run, data)
    result = evaluate_run(run, dataset, samples, seed, on_batch, prior)
    return result, run.likelihood(), dataset.binarize


def print_evaluation(title: str, result: Evaluation, unit: str) -> None:
    """Print an evaluation, with the names and the unit of its values."""
    rows = [("ELBO", f"{result.elbo:.2f} ± {result.elbo_standard_error:.2f}")]
    if result.samples > 1:
        bound = f"{result.iwae:.2f} ± {result.iwae_standard_error:.2f}"
        rows.append((f"IWAE-{result.samples}", bound))
    if result.prior_gain is not None:
        rows.append(("ELBO with the standard prior", f"{result.elbo - result.prior_gain:.2f}"))
    rows += [("log p(x|z)", f"{result.reconstruction:.2f}"), ("KL", f"{result.kl:.2f}")]
    if result.bits_per_dim is not None:
        rows.append(("bits per dimension", f"{result.bits_per_dim:.3f}"))
    if result.psnr is not None:
        rows.append(("PSNR of reconstructions, dB", f"{result.psnr:.2f}"))
    print_table(title, [f"{unit} per image", "mean ± s.e."], rows)
