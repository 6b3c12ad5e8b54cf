"""Options that several commands have, and the headings of ``--help``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import typer

from cvae_edge.model_config import require
from cvae_edge.runtime.engines import known_formats, known_providers

DATA, MODEL, TRAINING, RUNNING, OUTPUT = "Data", "Model", "Training", "Running", "Output"
SHORT = {"dynamic": "dynamic_range"}  # words of the command line that are shorter than a precision

DEFAULT_RUN = Path("runs/mnist")
BUNDLE_HELP = "A bundle's folder or .zip; by default export/mnist, or the one in the package."
BUNDLE = typer.Option(None, "--bundle", "-b", help=BUNDLE_HELP, rich_help_panel=MODEL)
SUBJECT = typer.Argument(None, metavar="BUNDLE", help=BUNDLE_HELP)
ALSO = typer.Option(
    None, "--bundle", "-b", help="The bundle, in place of the argument.", rich_help_panel=MODEL
)
IMAGES = typer.Argument(
    help="Images, folders or .tar files of images, .npy or .npz files, or - for stdin."
)
SEED = typer.Option(
    0,
    help="Seed of the noise. A seed gives the same noise on every machine.",
    rich_help_panel=RUNNING,
)
RESIZE = typer.Option(
    False, help="Resize images of another size, as in training.", rich_help_panel=DATA
)
JSON = typer.Option(False, "--json", help="Print one JSON document.", rich_help_panel=OUTPUT)
TRUST = typer.Option(
    False,
    "--trust",
    help="Run the files whatever operators and sizes they have.",
    rich_help_panel=RUNNING,
)
FORMAT = typer.Option(
    "auto",
    help=f"Format of the files: {', '.join(known_formats())}, or auto.",
    rich_help_panel=RUNNING,
)
PRIOR = typer.Option(
    "auto",
    help="Where latents come from: flow (learned), standard (normal), or auto.",
    rich_help_panel=RUNNING,
)
THREADS = typer.Option(None, help="Threads to use. By default all cores.", rich_help_panel=RUNNING)
PROVIDER = typer.Option(
    "cpu", help=f"What runs the files: {', '.join(known_providers())}.", rich_help_panel=RUNNING
)


BINARIZE = typer.Option(
    None,
    help="What pixels become: none (as they are), threshold (at 0.5) or draw (Bernoulli).",
    rich_help_panel=DATA,
)
IMAGE_SIZE = typer.Option(
    None, help="Resize images to 64 or 64x48, height first.", rich_help_panel=DATA
)
CHANNELS = typer.Option(
    None,
    help="Channels to make: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.",
    rich_help_panel=DATA,
)
MOVED_DATA = typer.Option(
    None, help="Place of the run's data, if it was moved.", rich_help_panel=DATA
)


def as_precision(word: str) -> str:
    """Return the precision that a word of the command line means."""
    return SHORT.get(word, word)


@dataclass(frozen=True)
class Running:
    """How a bundle's files are run, by the options that every command on a device has."""

    precision: str = typer.Option(
        "float32",
        help="Precision of the files: float32, float16, dynamic, int8, int4, or auto "
        "(fastest here).",
        callback=as_precision,
        rich_help_panel=RUNNING,
    )
    format: str = FORMAT
    threads: int | None = THREADS
    provider: str = PROVIDER
    trust: bool = TRUST


def with_running(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``Running`` where it has a parameter ``running``."""
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name == "running":
            parameters += inspect.signature(Running, eval_str=True).parameters.values()
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        running = Running(**{field.name: values.pop(field.name) for field in fields(Running)})
        command(running=running, **values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # where inspect would look first
    return run


def one_bundle(subject: Path | None, also: Path | None) -> Path | None:
    """Return the bundle that was given in either way; None where none was.

    Raises:
        ConfigError: it was given in both.
    """
    both = subject is not None and also is not None
    require(not both, "give the bundle once: as an argument or with -b", f"{subject} and {also}")
    return subject if subject is not None else also
