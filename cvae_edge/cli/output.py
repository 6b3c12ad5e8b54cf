"""What commands print: JSON, tables, progress, errors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.progress import Progress


INTERRUPTED = 128 + 2  # what a shell says of a program that Ctrl-C ended


def say(text: str, err: bool = False) -> None:
    """Print a text to standard output, or to standard error."""
    typer.echo(printable(text), err=err)


def printable(text: str) -> str:
    """Return a text in which what would steer a terminal, or cannot be written, is escaped.

    Names of files, and all that a bundle says, are other people's.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def print_error(message: str) -> None:
    """Print one sentence to standard error."""
    say(f"cvae-edge: {' '.join(message.split())}", err=True)


def print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning's text alone: where in the code it arose helps no user."""
    say(f"cvae-edge: warning: {' '.join(str(message).split())}", err=True)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output."""
    typer.echo(json.dumps(document, indent=2))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int | None = None,
) -> None:
    """Print a table; the first column is left-aligned, the others right.

    Args:
        title: printed above it.
        columns: their heads.
        rows: a cell a column.
        width: of the terminal in characters; None finds it out, and takes 80 where there is none.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(printable(title)), title_justify="left", box=SIMPLE)
    for i, column in enumerate(columns):
        table.add_column(
            escape(printable(column)), justify="left" if i == 0 else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(*(escape(printable(str(cell))) for cell in row))
    Console(width=width).print(table)


def discard_output() -> None:
    """Throw away what is still to be written to standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with the time left on standard error, so that standard output stays clean."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not _is_terminal()) as progress:
        yield progress


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
