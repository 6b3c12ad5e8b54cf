"""What is printed steers no terminal, and needs none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cvae_edge.cli.output import printable
from cvae_edge.manifest import digest

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± text\nof two lines", "plain ± text\nof two lines"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("back\b\b\r", "back\\x08\\x08\\r"),
        ("half \udcff of a pair", "half \\udcff of a pair"),
        ("right to left \u202e", "right to left \\u202e"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("command", ["inspect", "verify", "generate"])
def test_a_bundles_words_steer_no_terminal(tmp_path, run_cli, command):
    bundle = tmp_path / "\x1b[31mbundle"
    shutil.copytree(TINY, bundle)
    fields = json.loads((bundle / "manifest.json").read_text())
    evil = "\x1b]0;owned\x07\x1b[2J"
    fields |= {"name": evil, "tools": {evil: evil}}
    fields["training"]["epochs"] = evil
    for artifact in fields["artifacts"]:
        artifact["report"]["slower"] = evil
    fields["digest"] = digest(fields)
    (bundle / "manifest.json").write_text(json.dumps(fields))
    result = run_cli(command, bundle, *(["--out", tmp_path / "x.png"] * (command == "generate")))
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert "\x07" not in result.out + result.err


@pytest.mark.parametrize(
    ("closed", "command"),
    [
        ((2,), ["generate", "-n", "2"]),
        ((0, 1, 2), ["generate", "-n", "2"]),
        ((0, 1, 2), ["generate", "-n", "0"]),
        ((1,), ["inspect"]),
    ],
)
def test_closed_standard_streams_stop_no_command(tmp_path, closed, command):
    # What closes them is a shell: subprocess opens descriptors of its own in their place.
    script = f"exec '{sys.executable}' -m cvae_edge \"$@\" {' '.join(f'{n}<&-' for n in closed)}"
    places = ["--out", "x.png"] if command[0] == "generate" else []
    words = [*command[:1], str(TINY), *command[1:], *places]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == (2 if command[-1] == "0" else 0), done.stderr
    assert "Traceback" not in done.stderr
    files = [file.name for file in tmp_path.iterdir()]
    assert files == (["x.png"] if done.returncode == 0 and places else [])
