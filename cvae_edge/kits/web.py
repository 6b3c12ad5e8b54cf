"""A page that runs a bundle in a browser: a static folder, for any web server, offline."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import NamedTuple

from cvae_edge.bundle import Bundle, write_manifest
from cvae_edge.errors import BundleError
from cvae_edge.kits.folder import new_kit, sources
from cvae_edge.kits.onnxruntime_web import NAME, pinned, read_onnxruntime_web
from cvae_edge.manifest import HALVES, PRIOR_ROLES, Artifact
from cvae_edge.writing import write_bytes, write_text

_ROLES = (*HALVES, *PRIOR_ROLES)


class WebKit(NamedTuple):
    """What was made."""

    folder: Path
    files: list[str]  # of the bundle
    size_bytes: int  # of the whole folder
    complete: bool  # whether onnxruntime-web is in it


def make_web_kit(bundle: Bundle, out: Path, onnxruntime_web: Path | None = None) -> WebKit:
    """Write a folder that shows ``bundle`` in a browser; see export/web/README.md.

    Args:
        bundle: its encoders, decoders and learned priors in ONNX go along, each checked.
        out: the folder; a web kit that is there is replaced.
        onnxruntime_web: onnxruntime-web's npm package, see ``read_onnxruntime_web``; without it
            the page says how it is added.

    Raises:
        BundleError: the bundle has no ONNX decoder or is damaged; or ``out`` is not a web kit.
        ConfigError: ``onnxruntime_web`` is not the pinned version.
    """
    artifacts = _artifacts(bundle)
    runtime = {} if onnxruntime_web is None else read_onnxruntime_web(onnxruntime_web)
    with new_kit(out, "web") as folder:
        _copy_page(bundle.manifest.name, folder)
        _write_files(folder / NAME, runtime.items())
        _write_files(folder / "bundle", ((a.file, bundle.read(a)) for a in artifacts))
        manifest = bundle.manifest._replace(artifacts=artifacts, files={}, monitor=None)
        write_manifest(folder / "bundle", manifest)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return WebKit(out, [a.file for a in artifacts], size, bool(runtime))


def _artifacts(bundle: Bundle) -> tuple[Artifact, ...]:
    manifest = bundle.manifest
    found = tuple(a for a in manifest.artifacts if a.format == "onnx" and a.role in _ROLES)
    if not any(a.role == "decoder" for a in found):
        there = ", ".join(a.file for a in manifest.artifacts) or "none"
        raise BundleError(
            f"a web kit needs an ONNX decoder, and {manifest.name} has: {there}: export it with "
            "--format onnx"
        )
    return found


def _copy_page(name: str, folder: Path) -> None:
    """Copy the sources; the README's blanks are all that is filled in."""
    shutil.copytree(sources("web"), folder, dirs_exist_ok=True)
    readme = folder / "README.md"
    pin = pinned()
    blanks = {"name": name, "version": pin.version, "command": pin.command}
    write_text(readme, Template(readme.read_text()).substitute(blanks))


def _write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    for name, content in files:
        write_bytes(folder / name, content)
