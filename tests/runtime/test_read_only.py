"""A device whose file system is read-only, whose home is empty, and that has no network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Mounts of its own, all of them made read-only, as root of a user namespace: no rights are needed.
IN_READ_ONLY = """
for place in $(cut -d' ' -f5 /proc/self/mountinfo | sort -u); do
    mount -o remount,bind,ro "$place" 2>/dev/null
done
exec "$@"
"""
SCRIPT = """
import os, sys
from pathlib import Path
from cvae_edge import EdgeCVAE
from cvae_edge.runtime.engines import ENGINES, is_installed
for folder in (sys.argv[1], os.environ["HOME"], "/tmp", "/var/tmp", "/dev/shm", os.getcwd()):
    try:
        Path(folder, f"cvae-edge-{os.getpid()}").touch()
    except OSError:
        continue
    sys.exit(f"{folder} can be written")
for engine in ENGINES.values():
    if is_installed(engine):
        for precision in ("float32", "float16", "dynamic_range", "int8", "auto"):
            model = EdgeCVAE.load(
                sys.argv[1], format=engine.format, precision=precision, provider=engine.providers[0]
            )
            images = model.generate(20, seed=1)
            model.encode(images), model.reconstruct(images), model.score(images)
            print(engine.name, precision)
"""
COMMAND = ("unshare", "--map-root-user", "--mount", "--net", "sh", "-c", IN_READ_ONLY, "sh")


def has_namespaces() -> bool:
    try:
        return subprocess.run([*COMMAND, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not has_namespaces(), reason="no unshare (Linux), or it is not allowed")
def test_every_precision_runs_where_nothing_can_be_written(tiny: Path, tmp_path: Path) -> None:
    names = ("PATH", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    done = subprocess.run(
        [*COMMAND, sys.executable, "-c", SCRIPT, str(tiny)],
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "onnxruntime int8\n" in done.stdout
    assert not [*tmp_path.iterdir()]
