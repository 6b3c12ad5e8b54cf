"""The command that makes a C project for devices without an operating system."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.cli.options import ALSO, JSON, OUTPUT, RUNNING, SUBJECT, one_bundle
from cvae_edge.cli.output import print_json, say


def microcontroller(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    out: Path = typer.Option(
        Path("kits/microcontroller"), help="Folder to write.", rich_help_panel=OUTPUT
    ),
    flash: int | None = typer.Option(
        None,
        help="Flash of the device, in bytes. A larger model is refused.",
        rich_help_panel=RUNNING,
    ),
    ram: int | None = typer.Option(
        None,
        help="RAM of the device, in bytes. A larger model is refused.",
        rich_help_panel=RUNNING,
    ),
    json: bool = JSON,
) -> None:
    """Make a C99 project of a bundle: the model, a self-test, a Makefile and a README."""
    from cvae_edge.kits.microcontroller import make_microcontroller_kit
    from cvae_edge.runtime.source import open_bundle

    kit = make_microcontroller_kit(open_bundle(one_bundle(subject, bundle)), out, flash, ram)
    if json:
        print_json({**kit._asdict(), "folder": str(kit.folder)})
        return
    say(
        f"{kit.folder}: {', '.join(kit.files)} in C, {kit.flash_bytes:,} bytes of flash and "
        f"{kit.ram_bytes:,} of RAM; its README.md says of what"
    )
    say(f"Next: make -C {kit.folder} check")
