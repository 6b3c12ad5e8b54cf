"""The group of commands that make what a device needs beside a bundle; a command a kit."""

from __future__ import annotations

import typer

from cvae_edge.cli import kit_microcontroller, kit_web


def register(app: typer.Typer) -> None:
    """Add the group to ``app``."""
    kits = typer.Typer(no_args_is_help=True)
    kits.command()(kit_web.web)
    kits.command()(kit_microcontroller.microcontroller)
    app.add_typer(kits, name="kit", help="Make what a device needs where no Python runs.")
