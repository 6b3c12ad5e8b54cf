"""The command that makes a page which runs a bundle in a browser."""

from __future__ import annotations

from pathlib import Path

import typer

from cvae_edge.cli.options import ALSO, JSON, OUTPUT, SUBJECT, TRUST, one_bundle
from cvae_edge.cli.output import print_json, say


def web(
    subject: Path | None = SUBJECT,
    bundle: Path | None = ALSO,
    out: Path = typer.Option(Path("kits/web"), help="Folder to write.", rich_help_panel=OUTPUT),
    onnxruntime_web: Path | None = typer.Option(
        None,
        help="onnxruntime-web: the file of npm pack, its folder, or a node_modules folder.",
        rich_help_panel=OUTPUT,
    ),
    trust: bool = TRUST,
    json: bool = JSON,
) -> None:
    """Make a page that runs a bundle in a browser, from any web server and offline."""
    from cvae_edge.kits.onnxruntime_web import pinned
    from cvae_edge.kits.web import make_web_kit
    from cvae_edge.runtime.source import open_bundle

    kit = make_web_kit(open_bundle(one_bundle(subject, bundle), trust), out, onnxruntime_web)
    if json:
        print_json({**kit._asdict(), "folder": str(kit.folder)})
        return
    say(f"{kit.folder}: a page with {', '.join(kit.files)}, {kit.size_bytes / 1e6:.1f} MB")
    if not kit.complete:
        say(
            f"It still needs onnxruntime-web: {pinned().command}, then this command again with "
            f"--onnxruntime-web onnxruntime-web-{pinned().version}.tgz"
        )
    say(f"See it: python -m http.server -d {kit.folder}, then http://localhost:8000")
