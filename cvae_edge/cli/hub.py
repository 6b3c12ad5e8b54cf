"""The commands that put a bundle on the Hugging Face Hub and get it from there."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.cli.options import ALSO, JSON, OUTPUT, SUBJECT, one_bundle
from cvae_edge.cli.output import print_json, say

REPOSITORY = typer.Argument(help="OWNER/NAME on the hub.")


def push(
    repository: str = REPOSITORY,
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    private: bool = typer.Option(
        False, help="Make a new repository private.", rich_help_panel=OUTPUT
    ),
    json: bool = JSON,
) -> None:
    """Upload a bundle to the Hugging Face Hub, with the token in $HF_TOKEN."""
    from cvae_edge.hub import push_bundle
    from cvae_edge.runtime.source import open_bundle

    address = push_bundle(open_bundle(one_bundle(subject, bundle)), repository, private=private)
    if json:
        print_json({"repository": repository, "commit": address})
    else:
        say(f"Pushed: {address}")


def pull(
    repository: str = REPOSITORY,
    revision: str | None = typer.Option(
        None, help="Branch, tag or commit. By default the newest.", rich_help_panel=OUTPUT
    ),
    out: Path | None = typer.Option(
        None, help="Folder of the bundle. By default export/NAME.", rich_help_panel=OUTPUT
    ),
    json: bool = JSON,
) -> None:
    """Download a bundle from the Hugging Face Hub and check every file."""
    from cvae_edge.hub import pull_bundle

    folder = out or Path("export") / repository.rpartition("/")[2]
    pulled = pull_bundle(repository, folder, revision=revision)
    if json:
        print_json({"out": str(folder), "files": [a.file for a in pulled.manifest.artifacts]})
    else:
        say(f"{folder}: {len(pulled.manifest.artifacts)} files to run")
        say(f"Next: cvae-edge verify {folder}")
