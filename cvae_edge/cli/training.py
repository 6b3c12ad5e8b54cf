"""The commands that train and evaluate."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cvae_edge.cli.output import print_json, print_table, progress_bar
from cvae_edge.cli.planning import Plan, intention, make_plan
from cvae_edge.errors import ConfigError, DependencyError
from cvae_edge.quiet import quiet

if TYPE_CHECKING:
    from cvae_edge.elbo import Evaluation
    from cvae_edge.training.run import Run

DEFAULT_RUN = Path("runs/mnist")
_TRAIN_EXTRA = ("tensorflow", "onnx", "tf2onnx", "matplotlib", "ai_edge_litert")


def register(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command()(train)
    app.command()(evaluate)


def train(
    data: str | None = typer.Option(
        None,
        help="mnist (packaged, the default), keras:NAME, an .npz, a folder of IDX files or images.",
    ),
    preset: str | None = typer.Option(
        None, help="The networks: seed (the default for 28x28 grey), or general (for the rest)."
    ),
    model: str | None = typer.Option(
        None, help="Networks of your own: FILE.py:FUNCTION of image_shape and latent_dim."
    ),
    recipe: str | None = typer.Option(
        None, help="How to train: fast (preset seed's default), general, or seed."
    ),
    out: Path = typer.Option(DEFAULT_RUN, help="The run folder."),
    resume: bool = typer.Option(False, help="Continue the run in --out with its own settings."),
    epochs: int | None = typer.Option(None, help="Overrides the recipe's."),
    batch_size: int | None = typer.Option(None, help="Images a step, over all devices."),
    learning_rate: float | None = typer.Option(None, help="Adam's, at its peak."),
    latent_dim: int | None = typer.Option(None, help="Overrides the preset's."),
    width: float | None = typer.Option(None, help="Times the preset's channels."),
    likelihood: str | None = typer.Option(
        None, help="bernoulli (binary pixels), gaussian (the default for others) or logistic."
    ),
    beta: float | None = typer.Option(None, help="Weight of the KL term."),
    kl: str | None = typer.Option(None, help="sample (the single-sample estimate) or analytic."),
    seed: int | None = typer.Option(None, help="Of the weights, the order and the noise."),
    binarize: str | None = typer.Option(
        None, help="What pixels become: none, threshold (at 0.5), or draw (Bernoulli)."
    ),
    validation: int | None = typer.Option(
        None, help="Images held out of train; 0 trains on all and keeps the last weights."
    ),
    image_size: str | None = typer.Option(None, help="Make images 64 or 64x48, height first."),
    channels: int | None = typer.Option(
        None, help="Make images 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha."
    ),
    fit: str | None = typer.Option(None, help="How the size is reached: stretch, crop or pad."),
    background: str | None = typer.Option(
        None, help="The colour under transparent pixels; by default #ffffff."
    ),
    strategy: str = typer.Option(
        "default", help="default, mirrored (all GPUs) or multiworker (TF_CONFIG)."
    ),
) -> None:
    """Train a model; the defaults train the packaged MNIST to the end into runs/mnist."""
    train_options = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "beta": beta, "kl": kl, "seed": seed, "likelihood": likelihood,
    }  # fmt: skip
    data_options = {
        "source": data, "binarize": binarize, "validation": validation, "channels": channels,
        "image_size": parse_size(image_size), "fit": fit, "background": background,
    }  # fmt: skip
    model_options = {"preset": preset, "latent_dim": latent_dim, "width": width}
    if model is not None and (preset is not None or width is not None):
        raise ConfigError("give --model, or --preset and --width, got both")
    need_tensorflow()
    plan = make_plan(
        out if resume else None, recipe, model_options, data_options, train_options, model
    )
    run = run_training(out, plan, resume=resume, strategy=strategy)
    print_summary(run)
    typer.echo(f"\nNext: cvae-edge export{'' if out == DEFAULT_RUN else f' {out}'} --format all")


def evaluate(
    target: Path = typer.Argument(DEFAULT_RUN, help="A run folder or a bundle."),
    samples: int = typer.Option(1, help="Draws an image: k of the importance-weighted bound."),
    seed: int = typer.Option(0, help="Stream of the noise."),
    format: str = typer.Option("onnx", help="Of a bundle: onnx or tflite."),
    encoder: str = typer.Option("float32", help="Of a bundle: the encoder's precision."),
    decoder: str = typer.Option("float32", help="Of a bundle: the decoder's precision."),
    data: str | None = typer.Option(None, help="Of a bundle: data to use instead of its own."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Evaluate the ELBO and the importance-weighted bound on test images."""
    from cvae_edge.likelihoods import unit
    from cvae_edge.manifest import MANIFEST

    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=None, note="")

        def on_batch(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if (target / MANIFEST).exists():
            from cvae_edge.bundle import Bundle
            from cvae_edge.runtime.evaluate import evaluate_bundle, open_codec

            opened = Bundle.open(target)
            with quiet():  # LiteRT announces its delegate
                codec = open_codec(opened, format, encoder, decoder)
            result = evaluate_bundle(opened, codec, data, samples, seed, on_batch)
            unit_ = unit(opened.manifest.likelihood, opened.manifest.pixels.binarize)
        else:
            need_tensorflow()
            from cvae_edge.training.evaluate import evaluate_run
            from cvae_edge.training.run import Run

            result = evaluate_run(target, samples, seed, on_batch)
            run = Run.open(target)
            unit_ = unit(run.likelihood(), (run.summary or {})["binarize"])
    fields = result._asdict()
    if json:
        print_json(fields)
        return
    print_evaluation(f"{target}, {result.images} test images", result, unit_)


def print_evaluation(title: str, result: Evaluation, unit: str) -> None:
    """Print an evaluation, with what its values are called."""
    rows = [("ELBO", f"{result.elbo:.2f} ± {result.elbo_standard_error:.2f}")]
    if result.samples > 1:
        bound = f"{result.iwae:.2f} ± {result.iwae_standard_error:.2f}"
        rows.append((f"IWAE-{result.samples}", bound))
    rows += [("log p(x|z)", f"{result.reconstruction:.2f}"), ("KL", f"{result.kl:.2f}")]
    if result.bits_per_dim is not None:
        rows.append(("bits per dimension", f"{result.bits_per_dim:.3f}"))
    if result.psnr is not None:
        rows.append(("PSNR of reconstructions, dB", f"{result.psnr:.2f}"))
    print_table(title, [f"{unit} per image", "mean ± s.e."], rows)


def need_tensorflow() -> None:
    """Import TensorFlow silently, or say which extra installs what is missing."""
    missing = [name for name in _TRAIN_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"this command needs {', '.join(missing)}, not installed here: "
            "pip install 'cvae-edge[train]'"
        )
    from cvae_edge.training.framework import import_tensorflow

    import_tensorflow()


def run_training(out: Path, plan: Plan, resume: bool, strategy: str = "default") -> Run:
    """Train under a progress bar; exit with 130 after Ctrl-C, saying how to go on."""
    from cvae_edge.training.launch import Progress, Stopped, train

    config = plan.config
    typer.echo(intention(plan))
    with progress_bar() as bar:
        task = bar.add_task("training", total=None, note="")

        def on_progress(p: Progress) -> None:
            note = f"epoch {p.epoch}/{p.epochs}, ELBO {p.train_elbo:.1f}"
            bar.update(task, completed=p.step, total=p.steps, note=note)

        def on_epoch(row: dict[str, float]) -> None:
            bar.console.print(
                f"epoch {row['epoch']:g} of {config.train.epochs}: "
                f"ELBO {row['train_elbo']:.2f} nats, "
                f"on validation images {row['validation_elbo']:.2f}, {row['seconds']:.0f} s",
                highlight=False,
            )

        models = (plan.vae.encoder, plan.vae.decoder) if plan.vae else None
        try:
            return train(
                out,
                config,
                plan.dataset,
                models=models,
                resume=resume,
                strategy=strategy,
                on_progress=on_progress,
                on_epoch=on_epoch,
            )
        except Stopped:
            bar.stop()
            typer.echo(f"\nStopped and saved. Continue with: {_resume_command(out)}", err=True)
            raise typer.Exit(130) from None


def print_summary(run: Run) -> None:
    """Print what a finished run came to."""
    from cvae_edge.likelihoods import unit

    summary = run.summary or {}
    likelihood = run.likelihood()
    elbo = f"{summary['test_elbo']:.2f} ± {summary['test_elbo_standard_error']:.2f}"
    rows = [("trained on", f"{summary['train_images']} images")]
    if "epochs" in summary:
        rows += [
            ("epochs", f"{summary['epochs']}, best {summary['best_epoch']}"),
            ("time", f"{summary['seconds'] / 60:.1f} min"),
        ]
    rows.append(
        ("likelihood", " ".join((likelihood.name, *(f"{s:.4g}" for s in likelihood.scale))))
    )
    rows.append(("test ELBO", f"{elbo} {unit(likelihood, summary['binarize'])}"))
    if "test_bits_per_dim" in summary:
        rows.append(("test bits per dimension", f"{summary['test_bits_per_dim']:.3f}"))
    if "test_psnr" in summary:
        rows.append(("test PSNR", f"{summary['test_psnr']:.2f} dB"))
    there = [n for n in ("training-curve.png", "reconstructions.png") if (run.folder / n).exists()]
    rows.append(("pictures", ", ".join(there)))
    print_table(str(run.folder), ["run", ""], rows)


def _resume_command(out: Path) -> str:
    return "cvae-edge train --resume" + ("" if out == DEFAULT_RUN else f" --out {os.fspath(out)}")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return height and width of a text such as 64 or 64x48."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise ConfigError(f"--image-size must be like 64 or 64x48, height first, got {text!r}")
    return int(match[1]), int(match[2] or match[1])
