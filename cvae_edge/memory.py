"""How much memory there is, so that asking for more is a sentence and not a killed process."""

from __future__ import annotations

from pathlib import Path

from cvae_edge import container
from cvae_edge.errors import ConfigError

_ALWAYS_FINE = 1 << 24  # bytes below which nobody looks


def require_memory(nbytes: int, what: str) -> None:
    """Raise ConfigError unless ``nbytes`` fit into the memory that is free.

    Linux promises more memory than it has and then kills who uses it; so an allocation that
    succeeds proves nothing.
    """
    if nbytes <= _ALWAYS_FINE:
        return
    free = available_memory()
    if nbytes > free:
        raise ConfigError(
            f"{what} must fit into memory, of which {free / 1e9:.1f} GB are free, "
            f"got {nbytes / 1e9:.1f} GB: take fewer at a time, or stream them"
        )


def available_memory() -> int:
    """Return the bytes that can be used without swapping, within a container's limit.

    2^47 where the system does not say.
    """
    free = container.free_memory()
    return _of_machine() if free is None else min(free, _of_machine())


def _of_machine() -> int:
    meminfo = Path("/proc/meminfo")  # Linux
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return int(rest.split()[0]) * 1024
    return 1 << 47  # the whole of a process's addresses on common machines
