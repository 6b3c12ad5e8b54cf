"""The commands that train and evaluate."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cvae_edge.cli.output import print_json, print_table, progress_bar
from cvae_edge.config import PRESETS, RECIPES, DataConfig, TrainConfig
from cvae_edge.errors import ConfigError, DependencyError
from cvae_edge.manifest import MANIFEST
from cvae_edge.quiet import quiet

if TYPE_CHECKING:
    from cvae_edge.datasets import Dataset
    from cvae_edge.training.run import Run, RunConfig

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
    preset: str | None = typer.Option(None, help="The networks: seed."),
    recipe: str | None = typer.Option(None, help="How to train: fast (the default) or seed."),
    out: Path = typer.Option(DEFAULT_RUN, help="The run folder."),
    resume: bool = typer.Option(False, help="Continue the run in --out with its own settings."),
    epochs: int | None = typer.Option(None, help="Overrides the recipe's."),
    batch_size: int | None = typer.Option(None, help="Images a step, over all devices."),
    learning_rate: float | None = typer.Option(None, help="Adam's, at its peak."),
    latent_dim: int | None = typer.Option(None, help="Overrides the preset's 50."),
    beta: float | None = typer.Option(None, help="Weight of the KL term."),
    kl: str | None = typer.Option(None, help="sample (the single-sample estimate) or analytic."),
    seed: int | None = typer.Option(None, help="Of the weights, the order and the noise."),
    binarize: str | None = typer.Option(
        None, help="static (threshold 0.5), dynamic (Bernoulli) or none."
    ),
    validation: int | None = typer.Option(
        None, help="Images held out of train; 0 trains on all and keeps the last weights."
    ),
    image_size: str | None = typer.Option(
        None, help="Resize an image folder: 64 or 64x48, height first."
    ),
    channels: int | None = typer.Option(None, help="Convert an image folder: 1 grey, 3 colour."),
    strategy: str = typer.Option(
        "default", help="default, mirrored (all GPUs) or multiworker (TF_CONFIG)."
    ),
) -> None:
    """Train a model; the defaults train the packaged MNIST to the end into runs/mnist."""
    train_options = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "beta": beta, "kl": kl, "seed": seed,
    }  # fmt: skip
    data_options = {
        "source": data, "binarize": binarize, "validation": validation,
        "image_size": _parse_size(image_size), "channels": channels,
    }  # fmt: skip
    need_tensorflow()
    config, dataset = plan(
        out if resume else None, preset, recipe, latent_dim, data_options, train_options
    )
    run = run_training(out, config, dataset, resume=resume, strategy=strategy)
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
        else:
            need_tensorflow()
            from cvae_edge.training.evaluate import evaluate_run

            result = evaluate_run(target, samples, seed, on_batch)
    fields = result._asdict()
    if json:
        print_json(fields)
        return
    rows = [("ELBO", f"{result.elbo:.2f} ± {result.elbo_standard_error:.2f}")]
    if samples > 1:
        rows.append((f"IWAE-{samples}", f"{result.iwae:.2f} ± {result.iwae_standard_error:.2f}"))
    rows += [("log p(x|z)", f"{result.reconstruction:.2f}"), ("KL", f"{result.kl:.2f}")]
    print_table(f"{target}, {result.images} test images", ["nats per image", "mean ± s.e."], rows)


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


def plan(
    resumed: Path | None,
    preset: str | None,
    recipe: str | None,
    latent_dim: int | None,
    data_options: dict[str, Any],
    train_options: dict[str, Any],
) -> tuple[RunConfig, Dataset | None]:
    """Put a run's config together from what was given; None stands for not given.

    A run that is resumed keeps its own config under what was given, so that ``train`` can say
    what differs.
    """
    from cvae_edge.datasets import load_dataset
    from cvae_edge.training.run import Run, RunConfig

    if resumed is not None and resumed.exists():
        old = Run.open(resumed).config
        model, data, recipe_config = old.model, old.data, old.train
    else:
        model, data, recipe_config = None, DataConfig(), RECIPES["fast"]
    if recipe is not None:
        recipe_config = _choose(RECIPES, recipe, "recipe")
    data = dataclasses.replace(data, **_given(data_options))
    training: TrainConfig = dataclasses.replace(recipe_config, **_given(train_options))
    dataset = None
    if model is None or preset is not None:
        chosen = _choose(PRESETS, preset or "seed", "preset")
        dataset = load_dataset(data)
        model = dataclasses.replace(chosen, image_shape=dataset.image_shape)
    model = dataclasses.replace(model, **_given({"latent_dim": latent_dim}))
    return RunConfig(model, data, training), dataset


def run_training(
    out: Path, config: RunConfig, dataset: Dataset | None, resume: bool, strategy: str = "default"
) -> Run:
    """Train under a progress bar; exit with 130 after Ctrl-C, saying how to go on."""
    from cvae_edge.training.train import Progress, Stopped, train

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

        try:
            return train(out, config, dataset, resume, strategy, on_progress, on_epoch)
        except Stopped:
            bar.stop()
            typer.echo(f"\nStopped and saved. Continue with: {_resume_command(out)}", err=True)
            raise typer.Exit(130) from None


def print_summary(run: Run) -> None:
    """Print what a finished run came to."""
    summary = run.summary or {}
    rows = [
        ("trained on", f"{summary['train_images']} images, {summary['epochs']} epochs"),
        ("time", f"{summary['seconds'] / 60:.1f} min"),
        ("best epoch", summary["best_epoch"]),
        (
            "test ELBO",
            f"{summary['test_elbo']:.2f} ± {summary['test_elbo_standard_error']:.2f} nats",
        ),
        ("pictures", "training-curve.png, reconstructions.png"),
    ]
    print_table(str(run.folder), ["run", ""], rows)


def _resume_command(out: Path) -> str:
    return "cvae-edge train --resume" + ("" if out == DEFAULT_RUN else f" --out {os.fspath(out)}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _choose(table: dict[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise ConfigError(f"{what} must be one of {', '.join(table)}, got {name!r}")
    return table[name]


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise ConfigError(f"--image-size must be like 64 or 64x48, height first, got {text!r}")
    return int(match[1]), int(match[2] or match[1])
