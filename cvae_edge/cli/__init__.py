"""The command line: one command is one call of the library and printing its result.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once and the
device-side commands work where TensorFlow is not installed.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import typer

from cvae_edge.cli.benchmarking import benchmark
from cvae_edge.cli.device import decode, encode, generate, interpolate, reconstruct
from cvae_edge.cli.doctor import doctor
from cvae_edge.cli.evaluating import evaluate
from cvae_edge.cli.exporting import export, inspect, verify
from cvae_edge.cli.hub import pull, push
from cvae_edge.cli.importing import import_
from cvae_edge.cli.kit_microcontroller import microcontroller
from cvae_edge.cli.kit_web import web
from cvae_edge.cli.monitoring import monitor, score
from cvae_edge.cli.output import INTERRUPTED, discard_output, print_error, print_warning
from cvae_edge.cli.priors import prior
from cvae_edge.cli.quickstart import quickstart
from cvae_edge.cli.training import train
from cvae_edge.errors import CvaeEdgeError
from cvae_edge.version import __version__

_BEGIN = """Train a convolutional VAE, export it to ONNX, TFLite and C, run it on devices.

  cvae-edge quickstart    go the whole way once, on the packaged MNIST: about three minutes
  cvae-edge generate      draw images from the model that ships with the package
  cvae-edge train         train on MNIST, or on your images with --data
  cvae-edge export        make files for devices, and say what each costs
  cvae-edge benchmark     say which file to ship on this machine

cvae-edge --help lists all commands, cvae-edge COMMAND --help the options of one.
"""
# By the headings of --help: commands, and an example of each.
COMMANDS: dict[str, dict[Callable[..., None], str]] = {
    "Train": {
        quickstart: "cvae-edge quickstart",
        train: "cvae-edge train --data photos/ --image-size 64 --channels 3 --out runs/photos",
        import_: "cvae-edge import encoder.keras decoder.keras --data photos/ --out runs/mine",
        prior: "cvae-edge prior runs/mine",
        evaluate: "cvae-edge evaluate runs/mine --samples 200",
    },
    "Export": {
        export: "cvae-edge export runs/photos --quantize int8 --out export/photos",
        verify: "cvae-edge verify export/photos",
        inspect: "cvae-edge inspect export/photos",
        benchmark: "cvae-edge benchmark export/photos --batch 1,16 --out report/",
        push: "cvae-edge push me/photos export/photos",
        pull: "cvae-edge pull me/photos --out export/photos",
    },
    "Run": {
        generate: "cvae-edge generate export/photos -n 16 --seed 1 --precision int8",
        encode: "cvae-edge encode photos/ -b export/photos --out latents.npz",
        decode: "cvae-edge decode latents.npz -b export/photos --out decoded.png",
        reconstruct: "cvae-edge reconstruct photos/ -b export/photos --out reconstructions.png",
        interpolate: "cvae-edge interpolate a.png b.png -b export/photos --steps 9",
        score: "cvae-edge score parts/ -b export/parts --heatmaps heatmaps/ --out scores.csv",
        monitor: "cvae-edge monitor export/parts --good good/ --false-alarms 0.01",
    },
    "Machine": {doctor: "cvae-edge doctor"},
}
KITS: dict[Callable[..., None], str] = {
    web: "cvae-edge kit web export/photos --out site/",
    microcontroller: "cvae-edge kit microcontroller export/photos --out project/ --flash 1048576",
}

app = typer.Typer(
    name="cvae-edge",
    help="Train a convolutional VAE, export it to ONNX, TFLite and C, run it on devices.",
    pretty_exceptions_enable=False,
)
_kits = typer.Typer(no_args_is_help=True)


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        typer.echo(f"cvae-edge {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(_BEGIN, nl=False)


def _add(group: typer.Typer, panel: str | None, command: Callable[..., None], example: str) -> None:
    name = command.__name__.rstrip("_")
    group.command(name, rich_help_panel=panel, epilog=f"Example: {example}")(command)


for _panel, _commands in COMMANDS.items():
    for _command, _example in _commands.items():
        _add(app, _panel, _command, _example)
for _command, _example in KITS.items():
    _add(_kits, None, _command, _example)
app.add_typer(
    _kits,
    name="kit",
    help="Make what a device needs where no Python runs.",
    rich_help_panel="Export",
)


def main() -> None:
    """Run the command line and exit: 0 fine, 1 anomalies found, 2 an error, 128 + n signal n.

    What a user can cause is one sentence on standard error; the rest is a traceback.
    """
    warnings.showwarning = print_warning
    _fill_standard()
    try:
        app()
    except BaseException as raised:
        code = _exit_code(_cause(raised))
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as error:
            discard_output()  # or Python would try again when it ends, and exit with 120
            code = code if code not in (None, 0, 1) else _exit_code(error)
        sys.exit(code)


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
