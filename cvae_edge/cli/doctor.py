"""The command that says what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from cvae_edge.cli.output import print_json, print_table
from cvae_edge.version import __version__

_PACKAGES = {
    "run bundles": ("numpy", "onnxruntime", "onnxruntime-gpu", "pillow", "typer"),
    "run TFLite files": ("ai-edge-litert", "tflite-runtime"),
    "train and export": ("tensorflow", "keras", "onnx", "tf2onnx", "matplotlib"),
}
# What decides which kernels run: vector width, and integer dot products.
_CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm")


def register(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command()(doctor)


def doctor(json: bool = typer.Option(False, "--json", help="Print one JSON document.")) -> None:
    """Show versions, what is installed, CPU features, GPUs and writable folders."""
    report = inspect_machine()
    if json:
        print_json(report)
        return
    for section, entries in report.items():
        print_table(section, ["what", "found"], [(k, _words(v)) for k, v in entries.items()])


def inspect_machine() -> dict[str, dict[str, Any]]:
    """Return what ``doctor`` shows, without importing a framework; None marks what is not there."""
    packages = {
        f"{name} ({purpose})": _version(name)
        for purpose, names in _PACKAGES.items()
        for name in names
    }
    return {
        "versions": {"cvae-edge": __version__, "python": platform.python_version()},
        "packages": packages,
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": f"{_cpu_name()} ({platform.machine()})",
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "cpu features": _cpu_features(),
            "execution providers": _providers(),
            "nvidia driver": shutil.which("nvidia-smi"),
        },
        "folders": {
            f"{name} ({Path(name).absolute()})": _is_writable(Path(name).absolute())
            for name in ("runs", "export")
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_info(*keys: str) -> str:
    path = Path("/proc/cpuinfo")  # Linux; other systems have no such file
    if path.exists():
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in keys:
                return value.strip()
    return ""


def _cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or "unknown"


def _cpu_features() -> list[str] | None:
    flags = set(_cpu_info("flags", "Features").split())
    return [feature for feature in _CPU_FEATURES if feature in flags] if flags else None


def _providers() -> list[str] | None:
    if _version("onnxruntime") is None and _version("onnxruntime-gpu") is None:
        return None
    import onnxruntime

    providers: list[str] = onnxruntime.get_available_providers()
    return providers


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
