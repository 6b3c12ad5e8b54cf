"""Where measurements are kept: benchmarks/results/MACHINE/NAME.json, and NAME.md for people."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return {
        "processor": names[0] if names else platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions(*packages: str) -> dict[str, str]:
    """The packages' installed versions; those that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def folder() -> Path:
    """This machine's folder of results."""
    here = machine()
    words = f"{here['processor']} {here['architecture']} {here['cores']} cores".lower()
    path = RESULTS / re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    path.mkdir(parents=True, exist_ok=True)
    return path


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def write(name: str, figures: dict[str, Any], title: str, text: str) -> None:
    """Keep ``figures`` as JSON and ``text`` as Markdown, and print the text."""
    document = {"date": date.today().isoformat(), "machine": machine(), **figures}
    (folder() / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder() / f"{name}.md").write_text(f"# {title}\n\n{text}")
    print(text)
