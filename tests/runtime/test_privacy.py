"""A run writes nothing into the home folder, and talks to nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from cvae_edge.runtime.engines import ENGINES, is_installed

SCRIPT = """
import sys
from cvae_edge import EdgeCVAE
model = EdgeCVAE.load(sys.argv[1], format=sys.argv[2], provider=sys.argv[3])
model.encode(model.generate(3))
"""


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_leaves_the_home_folder_empty_and_opens_no_socket(tiny, tmp_path, name):
    engine = ENGINES[name]
    if not is_installed(engine):
        pytest.skip(f"{name} is not installed")
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    # Without the variables that mark a test machine, on which onnxruntime is silent anyhow.
    names = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    command = [sys.executable, "-B", "-c", SCRIPT, tiny, engine.format, engine.providers[0]]
    strace = shutil.which("strace")
    if strace:
        command = [strace, "-f", "-e", "trace=socket,connect", "-o", trace, *command]
    subprocess.run(
        [str(word) for word in command],
        env={**environment, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        check=True,
    )
    assert not [*home.rglob("*")]
    if strace:
        assert "socket(" not in trace.read_text()
