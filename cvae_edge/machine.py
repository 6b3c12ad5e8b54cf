"""What this machine is: processor, cores, GPUs, installed versions. Stdlib only."""

from __future__ import annotations

import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")  # Linux; other systems have no such file
# What decides which kernels run: vector width, and integer dot products.
_CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm")


def installed_version(package: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    from importlib import metadata  # 40 ms that a device's loads spare

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def operating_system() -> str:
    """Return the system's name and release."""
    return f"{platform.system()} {platform.release()}"


def processor() -> str:
    """Return the processor's name and its instruction set."""
    name = _cpu_info("model name") or platform.processor() or "unknown"
    return f"{name} ({platform.machine()})"


def processor_family() -> str:
    """Return the numbers that tell processors of one name apart; nothing where nobody says."""
    keys = ("cpu family", "model", "CPU implementer", "CPU part")  # x86, then ARM
    found = ((key.removeprefix("cpu ").removeprefix("CPU "), _cpu_info(key)) for key in keys)
    return " ".join(f"{key} {value}" for key, value in found if value)


def cpu_features() -> list[str] | None:
    """Return those of the processor's features that decide speed; None where nobody says."""
    flags = set(_cpu_info("flags", "Features").split())
    return [feature for feature in _CPU_FEATURES if feature in flags] if flags else None


def gpus() -> list[str]:
    """Return the NVIDIA GPUs' names with their driver's version; none without a driver."""
    import shutil  # 9 ms, both
    import subprocess

    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True, check=False)
    return result.stdout.splitlines() if result.returncode == 0 else []


def _cpu_info(*keys: str) -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in keys:
                return value.strip()
    return ""
