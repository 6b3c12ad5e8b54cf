"""What a container gives its processes, by Linux' control groups, versions 1 and 2. Stdlib only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/")
_NO_LIMIT = 1 << 60  # version 1 writes a number near 2^63 for none


class _Names(NamedTuple):
    """One version's files of a group."""

    quota: str
    period: str  # microseconds; in version 2 it stands in the quota's file
    limit: str
    used: str
    reclaimable: str  # of memory.stat: file pages that make way when memory is wanted


_VERSIONS = {
    1: _Names("cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes",
              "memory.usage_in_bytes", "total_inactive_file"),
    2: _Names("cpu.max", "cpu.max", "memory.max", "memory.current", "inactive_file"),
}  # fmt: skip


def core_limit(root: Path = _ROOT) -> int | None:
    """Return the whole cores that the CPU quota is worth, at least 1; None without a quota."""
    limits = []
    for names, group in _groups("cpu", root):
        words = _read(group / names.quota).split() + _read(group / names.period).split()
        if len(words) >= 2 and all(word.isdecimal() for word in words[:2]) and int(words[1]):
            limits.append(max(1, int(words[0]) // int(words[1])))
    return min(limits, default=None)


def free_memory(root: Path = _ROOT) -> int | None:
    """Return the bytes below the memory limit that are free or can be made so; None without one."""
    free = []
    for names, group in _groups("memory", root):
        limit, used = (_read(group / name).strip() for name in (names.limit, names.used))
        if limit.isdecimal() and used.isdecimal() and int(limit) < _NO_LIMIT:
            lines = (line.split() for line in _read(group / "memory.stat").splitlines())
            found = [int(words[1]) for words in lines if words[:1] == [names.reclaimable]]
            free.append(max(0, int(limit) - int(used) + sum(found)))
    return min(free, default=None)


def _groups(controller: str, root: Path) -> Iterator[tuple[_Names, Path]]:
    """Yield this process's group and those it lies in: each of them may have a limit."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            names, top = _VERSIONS[2], mount
        elif controller in controllers.split(","):
            names, top = _VERSIONS[1], mount / controller
        else:
            continue
        # In a container the path may be the host's, which is not there: its own group is the top.
        group = top / path.lstrip("/")
        yield from ((names, p) for p in (group, *group.parents) if p.is_relative_to(top))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
