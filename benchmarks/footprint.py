"""What a device installs: bytes of site-packages, by package.

    python benchmarks/footprint.py [--only base,litert]

Every installation is made by pip in a fresh environment without pip, so from the network or its
cache, and thrown away. Compiled Python files are counted, as pip writes them. Results go to
benchmarks/results/MACHINE/footprint.json and .md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import record

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "cvae_edge", "export/reference")
INSTALLATIONS = {
    "base": ("cvae-edge, the base install", ["{project}"]),
    "litert": ("cvae-edge[litert]", ["{project}[litert]"]),
    "bare-onnxruntime": ("onnxruntime and numpy alone", ["onnxruntime", "numpy"]),
    "bare-litert": ("ai-edge-litert and numpy alone", ["ai-edge-litert", "numpy"]),
    "openvino": ("openvino and numpy alone", ["openvino", "numpy"]),
    "tensorflow": ("tensorflow alone", ["tensorflow"]),
    "train": ("cvae-edge[train]", ["{project}[train]"]),
}
LARGEST = 6  # packages named in the table


def copy_project(folder: Path) -> Path:
    """Copy what is installed, because building it writes beside the sources."""
    project = folder / "project"
    for name in PROJECT:
        source, target = ROOT / name, project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return project


def install(requirements: list[str], folder: Path) -> Path:
    """Install into a fresh environment and return its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    quiet = ["--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]
    subprocess.run([*pip, "install", *quiet, *requirements], check=True)
    return next(folder.glob("lib/python*/site-packages"))


def size(distribution: Distribution) -> int:
    """Return the bytes of a package's files."""
    paths = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


def measure(requirements: list[str], folder: Path) -> dict[str, Any]:
    site = install(requirements, folder)
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    sizes = {d.name: size(d) for d in distributions(path=[str(site)])}
    versions = {d.name: d.version for d in distributions(path=[str(site)])}
    largest_first = sorted(sizes, key=lambda name: -sizes[name])
    return {
        "bytes": total,
        "packages": {n: {"version": versions[n], "bytes": sizes[n]} for n in largest_first},
    }


def table(installations: dict[str, Any]) -> str:
    rows = []
    for key, (title, _) in INSTALLATIONS.items():
        if key not in installations:
            continue
        found = installations[key]
        packages = list(found["packages"].items())
        named = [f"{name} {p['bytes'] / 1e6:.1f}" for name, p in packages[:LARGEST]]
        others = len(packages) - LARGEST
        named += [f"{others} more"] if others > 0 else []
        rows.append([title, f"{found['bytes'] / 1e6:.0f}", ", ".join(named)])
    return record.markdown_table(("installed", "MB", "of which, MB"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(INSTALLATIONS))
    wanted = parser.parse_args().only.split(",")
    installations = {}
    for key in wanted:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            project = str(copy_project(folder))
            requirements = [r.format(project=project) for r in INSTALLATIONS[key][1]]
            installations[key] = measure(requirements, folder / "environment")
    text = "Bytes of site-packages, compiled Python files included.\n\n" + table(installations)
    record.write("footprint", {"installations": installations}, "What a device installs", text)


if __name__ == "__main__":
    main()
