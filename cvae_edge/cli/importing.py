"""The command that takes a VAE trained elsewhere."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.cli.extra import need_tensorflow
from cvae_edge.cli.options import BINARIZE, CHANNELS, DATA, IMAGE_SIZE, MODEL, OUTPUT
from cvae_edge.cli.output import say
from cvae_edge.cli.planning import parse_size
from cvae_edge.cli.run_summary import print_summary
from cvae_edge.config import DataConfig
from cvae_edge.errors import ConfigError
from cvae_edge.model_config import WHITE


def import_(
    encoder: Path = typer.Argument(
        help="Encoder: a .keras file, an .h5 of a whole model, or weights alone."
    ),
    decoder: Path = typer.Argument(help="Decoder, in one of the same forms."),
    data: str = typer.Option(
        help="Data that the model was trained on, in a form that train takes.", rich_help_panel=DATA
    ),
    out: Path = typer.Option(
        Path("runs/imported"), help="Run folder to write.", rich_help_panel=OUTPUT
    ),
    likelihood: str | None = typer.Option(
        None,
        help="bernoulli, gaussian or logistic. By default what fits the pixels.",
        rich_help_panel=MODEL,
    ),
    log_variance: bool = typer.Option(
        False,
        "--log-variance",
        help="The encoder's second output is the log-variance. This is the default.",
        rich_help_panel=MODEL,
    ),
    log_std: bool = typer.Option(
        False,
        "--log-std",
        help="The encoder's second output is the logarithm of the standard deviation.",
        rich_help_panel=MODEL,
    ),
    preset: str | None = typer.Option(
        None, help="Preset that weights alone belong to.", rich_help_panel=MODEL
    ),
    latent_dim: int | None = typer.Option(
        None, help="Number of latents of that preset.", rich_help_panel=MODEL
    ),
    width: float = typer.Option(1.0, help="Width of that preset.", rich_help_panel=MODEL),
    binarize: str | None = BINARIZE,
    image_size: str | None = IMAGE_SIZE,
    channels: int | None = CHANNELS,
    fit: str = typer.Option(
        "stretch", help="How images are resized: stretch, crop or pad.", rich_help_panel=DATA
    ),
    background: str = typer.Option(
        WHITE, help="Colour under transparent pixels.", rich_help_panel=DATA
    ),
) -> None:
    """Make a run of an encoder and a decoder that were trained elsewhere."""
    if log_variance and log_std:
        raise ConfigError("give --log-variance or --log-std, got both")
    config = DataConfig(
        data, parse_size(image_size), channels, None, binarize, fit, background,  # type: ignore[arg-type]
    )  # fmt: skip
    need_tensorflow()
    from cvae_edge.training import import_models

    run = import_models(
        encoder,
        decoder,
        config,
        out,
        likelihood=likelihood,
        spread="std" if log_std else "variance",
        preset=preset,
        latent_dim=latent_dim,
        width=width,
    )
    print_summary(run)
    say(f"\nNext: cvae-edge prior {out}, for better samples; cvae-edge export {out}")
