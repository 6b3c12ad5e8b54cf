"""The command line: one command is one call of the library and printing its result.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once and the
device-side commands work where TensorFlow is not installed.
"""

from __future__ import annotations

import sys
import warnings

import typer

from cvae_edge.cli import (
    benchmarking,
    device,
    doctor,
    exporting,
    importing,
    quickstart,
    training,
)
from cvae_edge.cli.output import print_error, print_warning
from cvae_edge.errors import CvaeEdgeError
from cvae_edge.version import __version__

app = typer.Typer(
    name="cvae-edge",
    help="Train a convolutional VAE, export it to ONNX and TFLite, run it on devices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        typer.echo(f"cvae-edge {__version__}")
        raise typer.Exit


for _commands in (quickstart, training, importing, exporting, device, benchmarking, doctor):
    _commands.register(app)


def main() -> None:
    """Run the command line; what a user can cause is one sentence on standard error and exit 2."""
    warnings.showwarning = print_warning
    try:
        app()
    except CvaeEdgeError as error:
        print_error(str(error))
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
        sys.exit(2)
    except MemoryError as error:
        print_error(f"not enough memory: {error}")
        sys.exit(2)
