"""The command that says what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

import typer

from cvae_edge.cli.output import print_json, print_table
from cvae_edge.errors import ConfigError, DependencyError
from cvae_edge.machine import cpu_features, installed_version, operating_system, processor
from cvae_edge.runtime.parallel import available_cores
from cvae_edge.version import __version__

_BASE = ("numpy", "pillow", "typer")
_TRAIN = ("tensorflow", "keras", "onnx", "tf2onnx", "matplotlib")


def doctor(json: bool = typer.Option(False, "--json", help="Print one JSON document.")) -> None:
    """Show versions, packages, what is missing for what, CPU features and writable folders."""
    report = inspect_machine()
    if json:
        print_json(report)
        return
    for section, entries in report.items():
        if entries:
            print_table(section, ["what", "found"], [(k, _words(v)) for k, v in entries.items()])


def inspect_machine() -> dict[str, dict[str, Any]]:
    """Return what ``doctor`` shows, without importing a framework; None marks what is not there."""
    from cvae_edge.runtime.engines import ENGINES

    # Packages, whether one of them will do, and how to get them.
    purposes = {
        "run bundles": (_BASE, all, "pip install cvae-edge"),
        **{
            f"run {e.format} files in {e.name}": (e.packages, any, e.install)
            for e in ENGINES.values()
        },
        "train and export": (_TRAIN, all, 'pip install "cvae-edge[train]"'),
    }
    packages = {
        f"{name} ({purpose})": installed_version(name)
        for purpose, (names, *_) in purposes.items()
        for name in names
    }
    missing = {
        f"to {purpose}": install
        for purpose, (names, suffice, install) in purposes.items()
        if not suffice(packages[f"{name} ({purpose})"] for name in names)
    }
    return {
        "versions": {"cvae-edge": __version__, "python": platform.python_version()},
        "packages": packages,
        "missing": missing,
        "machine": {
            "system": operating_system(),
            "processor": processor(),
            "cores": available_cores(),
            "cpu features": cpu_features(),
            "providers": _providers(),
            "nvidia driver": shutil.which("nvidia-smi"),
        },
        "folders": {
            f"{name} ({Path(name).absolute()})": _is_writable(Path(name).absolute())
            for name in ("runs", "export")
        },
    }


def _providers() -> list[str]:
    """Return what --provider takes here."""
    from cvae_edge.runtime.engines import ENGINES, load_engine

    here: dict[str, None] = {}
    for engine in ENGINES.values():
        for provider in engine.providers:
            try:
                load_engine(engine.format, provider)
            except (ConfigError, DependencyError):
                continue
            here[provider] = None
    return [*here]


def _is_writable(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _words(value: Any) -> str:
    if value is None:
        return "not found"
    if isinstance(value, bool):
        return "writable" if value else "not writable"
    return ", ".join(value) if isinstance(value, list) else str(value)
