"""Where measurements are kept: benchmarks/results/MACHINE/NAME.json, and NAME.md for people."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from cvae_edge.machine import cpu_features, processor, processor_family
from cvae_edge.markdown import markdown_table as markdown_table  # for the scripts
from cvae_edge.runtime.parallel import available_cores

# Elsewhere for a run that is not to be kept.
RESULTS = Path(os.environ.get("BENCHMARK_RESULTS", Path(__file__).with_name("results")))


def machine() -> dict[str, Any]:
    """What the figures were measured on; machines that differ in speed differ in ``name``."""
    features, cores = cpu_features() or [], available_cores()
    words = f"{processor()} {processor_family()} {' '.join(features)} {cores} cores".lower()
    return {
        "name": re.sub(r"[^a-z0-9]+", "-", words).strip("-"),
        "processor": processor(),
        "cpu_features": features,
        "cores": cores,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def machine_words(here: Mapping[str, Any]) -> str:
    """What ``machine`` gave, in a line of Markdown."""
    features = ", ".join(here["cpu_features"]) or "features unknown"
    return f"*On {here['processor']}, {features}, {here['cores']} cores.*\n"


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
    path = RESULTS / machine()["name"]
    path.mkdir(parents=True, exist_ok=True)
    return path


def skipped_text(skipped: Mapping[str, str]) -> str:
    """Say which peers were not measured, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        reasons.setdefault(reason, []).append(name)
    return "".join(
        f"\nSkipped: {'; '.join(names)} ({reason}).\n" for reason, names in reasons.items()
    )


def kept(name: str) -> dict[str, Any]:
    """What was kept of an earlier run."""
    path = folder() / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write(name: str, figures: dict[str, Any], title: str, text: str) -> None:
    """Keep ``figures`` as JSON and ``text`` as Markdown, and print the text."""
    here = machine()
    document = {**figures, "date": date.today().isoformat(), "machine": here}
    content = json.dumps(document, indent=1)
    content = re.sub(  # a list of numbers is one line
        r"\[\s+([-+\d.e,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", content
    )
    (folder() / f"{name}.json").write_text(content + "\n")
    (folder() / f"{name}.md").write_text(f"# {title}\n\n{machine_words(here)}\n{text}")
    print(text)
