"""Folders are whole or as they were, whatever ends the process that writes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cvae_edge import folders
from cvae_edge.folders import new_folder, restore, temporary_files

# Writes a folder and is killed at the given call of what changes names or deletes.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from cvae_edge import folders

calls, last = 0, int(sys.argv[2])

def count(function):
    def counted(*arguments, **options):
        global calls
        for when in "before", "after":
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            if when == "before":
                result = function(*arguments, **options)
        return result
    return counted

if sys.argv[3] == "two renames":
    folders._exchange = lambda first, second: False
folders._exchange = count(folders._exchange)
Path.rename, Path.mkdir, Path.unlink = map(count, (Path.rename, Path.mkdir, Path.unlink))
shutil.rmtree = count(shutil.rmtree)
with folders.new_folder(Path(sys.argv[1])) as folder:
    for name in "abc":
        (folder / name).write_text("new")
"""


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def write(folder: Path, text: str) -> None:
    with new_folder(folder) as new:
        for name in "abc":
            (new / name).write_text(text)


@pytest.mark.parametrize("how", ["exchange", "two renames"])
@pytest.mark.parametrize("there", ["a folder", "a link", "nothing"])
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, how: str, there: str
) -> None:
    """Each step in turn, until there is none left to be killed at."""
    old, new = dict.fromkeys("abc", "old"), dict.fromkeys("abc", "new")
    for step in range(100):
        place = tmp_path / str(step)
        out = place / ("link" if there == "a link" else "out")
        place.mkdir()
        if there != "nothing":
            write(place / "out", "old")
        if there == "a link":
            out.symlink_to("out")
        code = subprocess.run([sys.executable, "-c", KILLED, out, str(step), how]).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if how == "two renames":
            restore(out)
        if there != "nothing" or out.exists():
            assert content(out) in (old, new)
        write(out, "next")
        assert content(out) == dict.fromkeys("abc", "next")
        assert out.is_symlink() == (there == "a link")
        kept = {"out", "link"} if there == "a link" else {"out"}
        assert {path.name for path in place.iterdir()} == kept
    assert step >= 6
    assert content(out) == new


def test_this_system_changes_names_in_one_step(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("renameat2 is Linux'")
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert folders._exchange(tmp_path / "a", tmp_path / "b")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    assert not folders._exchange(tmp_path / "a", tmp_path / "nowhere")


def test_two_writers_of_one_folder_do_not_mix(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as first:
        (first / "a").write_text("first")
        with pytest.raises(BlockingIOError), new_folder(tmp_path / "out"):
            raise AssertionError("the block must not run")
    assert content(tmp_path / "out") == {"a": "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_temporary_filess_of_killed_processes_are_swept_up_and_others_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import time; from cvae_edge.folders import temporary_files\n"
        "with temporary_files() as folder: print(folder, flush=True); time.sleep(600)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=-1,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        for _ in range(2)
    ]
    dead, alive = (Path(p.stdout.readline().strip()) for p in processes)  # type: ignore[union-attr]
    processes[0].kill()
    processes[0].wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_files() as own:
        assert {p for p in tmp_path.iterdir() if p.is_dir()} == {own, alive}
    processes[1].kill()
    processes[1].wait()
    with temporary_files():
        pass
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path)
    for process in processes:
        process.stdout.close()  # type: ignore[union-attr]
    assert dead != alive
