"""The command that trains."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.options import (
    BINARIZE,
    CHANNELS,
    DATA,
    DEFAULT_RUN,
    IMAGE_SIZE,
    MODEL,
    OUTPUT,
    TRAINING,
)
from cvae_edge.cli.output import progress_bar, say
from cvae_edge.cli.planning import TrainingPlan, check_options, parse_size, plan_training
from cvae_edge.cli.run_summary import print_summary
from cvae_edge.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from cvae_edge.training.launch import Beginning, Progress
    from cvae_edge.training.run import Run

_PIXELS = {"none": "grey or colour", "threshold": "binary (thresholded)", "draw": "binary (drawn)"}


def train(
    data: str | None = typer.Option(
        None,
        help="Data: mnist (packaged, the default), keras:NAME, an .npz, or a folder "
        "of images or IDX files.",
        rich_help_panel=DATA,
    ),
    preset: str | None = typer.Option(
        None,
        help="Networks: seed (the default for 28x28 grey images) or general (for others).",
        rich_help_panel=MODEL,
    ),
    model: str | None = typer.Option(
        None,
        help="Networks of your own: FILE.py:FUNCTION, called with image_shape and latent_dim.",
        rich_help_panel=MODEL,
    ),
    recipe: str | None = typer.Option(
        None,
        help="Recipe: fast (the default of preset seed), general (of others), or seed "
        "(the tutorial's).",
        rich_help_panel=TRAINING,
    ),
    out: Path = typer.Option(DEFAULT_RUN, help="Run folder to write.", rich_help_panel=OUTPUT),
    resume: bool = typer.Option(
        False,
        help="Continue the run in --out with its own settings, a finished one with more --epochs.",
        rich_help_panel=TRAINING,
    ),
    epochs: int | None = typer.Option(
        None, help="Number of epochs, in place of the recipe's.", rich_help_panel=TRAINING
    ),
    batch_size: int | None = typer.Option(
        None, help="Images in a step, on all devices together.", rich_help_panel=TRAINING
    ),
    learning_rate: float | None = typer.Option(
        None, help="Highest learning rate of Adam.", rich_help_panel=TRAINING
    ),
    latent_dim: int | None = typer.Option(
        None, help="Number of latents, in place of the preset's.", rich_help_panel=MODEL
    ),
    width: float | None = typer.Option(
        None, help="Factor of the preset's numbers of channels.", rich_help_panel=MODEL
    ),
    likelihood: str | None = typer.Option(
        None,
        help="Likelihood: bernoulli (binary pixels), gaussian (the default for "
        "others) or logistic.",
        rich_help_panel=MODEL,
    ),
    beta: float | None = typer.Option(
        None, help="Weight of the KL term.", rich_help_panel=TRAINING
    ),
    paste: float | None = typer.Option(
        None,
        help="Share of images that the encoder sees with a part pasted elsewhere, for monitors.",
        rich_help_panel=TRAINING,
    ),
    kl: str | None = typer.Option(
        None,
        help="Estimate of the KL term: sample (of one draw) or analytic.",
        rich_help_panel=TRAINING,
    ),
    seed: int | None = typer.Option(
        None,
        help="Seed of the weights, the order of images and the noise.",
        rich_help_panel=TRAINING,
    ),
    binarize: str | None = BINARIZE,
    validation: int | None = typer.Option(
        None,
        help="Training images to hold out for validation. 0 trains on all and keeps "
        "the last weights.",
        rich_help_panel=DATA,
    ),
    image_size: str | None = IMAGE_SIZE,
    channels: int | None = CHANNELS,
    fit: str | None = typer.Option(
        None, help="How images are resized: stretch, crop or pad.", rich_help_panel=DATA
    ),
    background: str | None = typer.Option(
        None, help="Colour under transparent pixels. By default #ffffff.", rich_help_panel=DATA
    ),
    prior: str | None = typer.Option(
        None,
        help="Where latents come from: flow (learned, the default) or standard (normal).",
        rich_help_panel=MODEL,
    ),
    strategy: str = typer.Option(
        "default",
        help="Distribution: default, mirrored (all GPUs) or multiworker (by TF_CONFIG).",
        rich_help_panel=TRAINING,
    ),
) -> None:
    """Train a model. By default on the packaged MNIST, into runs/mnist."""
    train_options = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "beta": beta, "paste": paste, "kl": kl, "seed": seed, "likelihood": likelihood,
        "prior": prior,
    }  # fmt: skip
    data_options = {
        "source": data, "binarize": binarize, "validation": validation, "channels": channels,
        "image_size": parse_size(image_size), "fit": fit, "background": background,
    }  # fmt: skip
    model_options = {"preset": preset, "latent_dim": latent_dim, "width": width}
    if model is not None and (preset is not None or width is not None):
        raise ConfigError("give --model, or --preset and --width, got both")
    check_options(recipe, data_options, train_options)
    need_tensorflow()
    plan = plan_training(
        out if resume else None, recipe, model_options, data_options, train_options, model
    )
    run = run_training(out, plan, resume=resume, strategy=strategy)
    print_summary(run)
    say(f"\nNext: cvae-edge export{'' if out == DEFAULT_RUN else f' {out}'}")


def run_training(out: Path, plan: TrainingPlan, resume: bool, strategy: str = "default") -> Run:
    """Train under a progress bar; after Ctrl-C or SIGTERM exit and say how to go on."""
    from cvae_edge.training.launch import Stopped, train

    models = (plan.vae.encoder, plan.vae.decoder) if plan.vae else None
    with progress_bar() as bar:
        narrator = _Narrator(bar)
        try:
            return train(
                out,
                plan.config,
                plan.dataset,
                models=models,
                resume=resume,
                strategy=strategy,
                on_begin=narrator.on_begin,
                on_progress=narrator.on_progress,
                on_epoch=narrator.on_epoch,
                on_prior=narrator.on_prior,
            )
        except Stopped as stopped:
            bar.stop()
            say(f"\nStopped and saved. Continue with: {_resume_command(out)}", err=True)
            raise typer.Exit(128 + stopped.signal) from None


class _Narrator:
    """Says on standard error what a training is and how far it is."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._task = bar.add_task("training", total=None, note="")
        self._nats, self._epochs = "nats", 0

    def on_begin(self, beginning: Beginning) -> None:
        from cvae_edge.likelihoods import unit

        training, binarize = beginning.config.train, beginning.dataset.binarize
        self._nats, self._epochs = unit(training.likelihood, binarize), training.epochs
        self._say(describe(beginning))

    def on_progress(self, p: Progress) -> None:
        note = f"epoch {p.epoch}/{p.epochs}, ELBO {p.train_elbo:.1f}"
        self._bar.update(self._task, completed=p.step, total=p.steps, note=note)

    def on_epoch(self, row: dict[str, float]) -> None:
        text = f"epoch {row['epoch']:g} of {self._epochs}: ELBO {row['train_elbo']:.2f}"
        if not math.isnan(row["validation_elbo"]):
            text += f", on validation images {row['validation_elbo']:.2f}"
        self._say(f"{text} {self._nats}, {row['seconds']:.0f} s")

    def on_prior(self, done: int, steps: int) -> None:
        if done == 1:
            self._bar.reset(self._task, description="fitting the prior", note="")
        self._bar.update(self._task, completed=done, total=steps)

    def _say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, soft_wrap=True)


def describe(beginning: Beginning) -> str:
    """Say in one line what is about to be trained, and why with this likelihood."""
    from cvae_edge.config import OWN
    from cvae_edge.likelihoods import default_likelihood, unit

    model, training = beginning.config.model, beginning.config.train
    dataset = beginning.dataset
    name = {OWN: "networks of your own"}.get(model.preset, f"preset {model.preset}")
    shape = "x".join(map(str, model.image_shape))
    pixels = _PIXELS[dataset.binarize]
    usual = training.likelihood == default_likelihood(dataset.binarize)
    why = f"which {pixels} pixels take by default" if usual else f"as asked, on {pixels} pixels"
    return (
        f"Training {name} ({beginning.parameters:,} parameters, {model.latent_dim} latents) on "
        f"{len(dataset.train):,} images of {shape} for {training.epochs} epochs in batches of "
        f"{training.batch_size}; likelihood {training.likelihood}, {why}, in "
        f"{unit(training.likelihood, dataset.binarize)} per image."
    )


def _resume_command(out: Path) -> str:
    return "cvae-edge train --resume" + ("" if out == DEFAULT_RUN else f" --out {os.fspath(out)}")
