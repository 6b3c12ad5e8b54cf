"""What a command is about: a run; or a bundle, its one argument or ``-b``."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.model_config import require

DEFAULT_RUN = Path("runs/mnist")
BUNDLE_HELP = "A bundle's folder or .zip; by default export/mnist, or the one in the package."
BUNDLE = typer.Option(None, "--bundle", "-b", help=BUNDLE_HELP)
SUBJECT = typer.Argument(None, metavar="[BUNDLE]", help=BUNDLE_HELP)
ALSO = typer.Option(None, "--bundle", "-b", help="The same.")


def one_bundle(subject: Path | None, also: Path | None) -> Path | None:
    """Return the bundle that was given in either way; None where none was.

    Raises:
        ConfigError: it was given in both.
    """
    both = subject is not None and also is not None
    require(not both, "give the bundle once: as an argument or with -b", f"{subject} and {also}")
    return subject if subject is not None else also
