"""Files are whole or as they were, whatever ends the process that writes them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cvae_edge.locking import locked
from cvae_edge.writing import new_file, write_standard, write_text

WRITES_HALF = """
import sys, time
from pathlib import Path
from cvae_edge.writing import new_file
with new_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("half is written", flush=True)
    time.sleep(600)
"""
HOLDS = """
import sys, time
from pathlib import Path
from cvae_edge.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def killed(script: str, path: Path) -> subprocess.Popen[str]:
    """Run a script until it prints, and kill it."""
    process = subprocess.Popen([sys.executable, "-c", script, path], stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    return process


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_sweeps_up(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    assert killed(WRITES_HALF, path).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_text() == "new"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with new_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    def write(value: int) -> None:
        with new_file(tmp_path / "a", durable=False) as file:
            for _ in range(100):
                file.write(bytes([value]) * 100)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "a").read_bytes()
    assert len(content) == 10_000
    assert len(set(content)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(Path("there", "a"))
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "a").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    got: list[str] = []
    reader.start()
    write_text(tmp_path / "pipe", "through")
    reader.join()
    assert got == ["through"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_name_that_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "a", os.fsdecode(b"caf\xe9.png"))
    assert (tmp_path / "a").read_text("utf-8") == "caf\\udce9.png"


class Slow(io.RawIOBase):
    """Takes three bytes at a time, as a pipe or a full disk may."""

    def __init__(self, room: int) -> None:
        self.taken, self.room = b"", room

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        taken = bytes(content)[: min(3, self.room - len(self.taken))]  # type: ignore[call-overload]
        self.taken += taken
        return len(taken)


@pytest.mark.parametrize("room", [100, 50])
def test_all_goes_to_standard_output_or_an_error_comes(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    slow = Slow(room)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(slow, write_through=True))  # type: ignore[arg-type]
    content = bytes(range(100))
    if room < 100:
        with pytest.raises(OSError, match="takes no more"):
            write_standard(content)
    else:
        write_standard(content)
    assert slow.taken == content[:room]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDS, path], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(BlockingIOError), locked(path):
        raise AssertionError("the block must not run")
    process.kill()
    process.wait()
    process.stdout.close()
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        raise AssertionError("the block must not run")
    assert list(tmp_path.iterdir()) == []
