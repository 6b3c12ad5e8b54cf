"""The command line: one command is one call of the library and printing its result.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once and the
device-side commands work where TensorFlow is not installed.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import Any

import typer

from cvae_edge.cli import (
    benchmarking,
    device,
    doctor,
    exporting,
    importing,
    kit,
    monitoring,
    priors,
    quickstart,
    training,
)
from cvae_edge.cli.output import INTERRUPTED, discard_output, print_error, print_warning
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


for _commands in (
    quickstart,
    training,
    importing,
    priors,
    exporting,
    device,
    monitoring,
    benchmarking,
    kit,
    doctor,
):
    _commands.register(app)


def main() -> None:
    """Run the command line and exit: 0 fine, 1 anomalies found, 2 an error, 128 + n signal n.

    What a user can cause is one sentence on standard error; the rest is a traceback.
    """
    warnings.showwarning = print_warning
    _fill_standard()
    try:
        app()
    except BaseException as raised:
        sys.exit(_exit_code(_cause(raised)))


def _fill_standard() -> None:
    """Open what a caller closed of standard input, output and error.

    The next file would take its place, and get what is meant for a terminal.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _cause(raised: BaseException) -> BaseException:
    """Return what ended a command, where typer or rich made an exit with 1 of it."""
    error: BaseException | None = raised
    while isinstance(raised, SystemExit) and raised.code == 1 and error is not None:
        if isinstance(error, OSError | KeyboardInterrupt):
            return error
        error = error.__cause__ or error.__context__
    return raised


def _exit_code(error: BaseException) -> Any:
    """Say what happened, unless it is an exit, and return the process's exit code."""
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, CvaeEdgeError):
        print_error(str(error))
    elif isinstance(error, BrokenPipeError):
        discard_output()  # or Python would try to write the rest of it when it ends
        print_error("standard output was closed before all was written")
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
    elif isinstance(error, MemoryError):
        print_error(f"not enough memory: {error}")
    else:
        traceback.print_exception(error)
    return 2
