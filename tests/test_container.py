"""Limits of control groups, as they lie in /sys and /proc; the figures are written out."""

from __future__ import annotations

import pytest

from cvae_edge import container, memory
from cvae_edge.runtime import parallel

GB = 1 << 30
V1 = "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n"


def lay(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


CASES = {
    "no control groups": ({}, None, None),
    "version 2, no limits": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory.current": "5\n",
        },
        None,
        None,
    ),
    "version 2, 2.5 cores, 1 GB of which 600 MB are used, 100 MB of that by files": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/memory.max": f"{GB}\n",
            "sys/fs/cgroup/memory.current": "600000000\n",
            "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 100000000\n",
        },
        2,
        GB - 500_000_000,
    ),
    "version 2, the group above is the narrower": (
        {
            "proc/self/cgroup": "0::/pod/one\n",
            "sys/fs/cgroup/pod/one/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "50000 100000\n",
        },
        1,
        None,
    ),
    "version 1, the path is the host's": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 * GB}\n",
        },
        3,
        0,
    ),
    "version 1, no limits": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/docker/a/memory.usage_in_bytes": "1\n",
        },
        None,
        None,
    ),
    "nonsense": (
        {"proc/self/cgroup": "x\n0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"},
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_limits_are_the_narrowest_of_the_groups(tmp_path, name):
    files, cores, free = CASES[name]
    lay(tmp_path, files)
    assert container.core_limit(tmp_path) == cores
    assert container.free_memory(tmp_path) == free


def test_threads_and_memory_follow_the_limits(monkeypatch):
    monkeypatch.setattr(container, "core_limit", lambda: 1)
    monkeypatch.setattr(container, "free_memory", lambda: 1000)
    assert parallel.available_cores() == 1
    assert memory.available_memory() == 1000
