"""What frameworks write to descriptor 2 is held back, and no device is stopped by that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cvae_edge.quiet import quiet

CLOSED = "import os, sys; os.close(2); from cvae_edge.quiet import quiet\n"


def test_what_is_written_is_held_back(capfd):
    with quiet():
        os.write(2, b"noise")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_an_exception_shows_what_was_held_back(capfd):
    def fail():
        os.write(2, b"why it failed")
        raise ValueError

    with pytest.raises(ValueError), quiet():  # noqa: PT011 # raised above
        fail()
    assert capfd.readouterr().err == "why it failed"


@pytest.mark.parametrize("start", [CLOSED, "import sys; sys.stderr = None\n" + CLOSED])
def test_a_closed_standard_error_stops_nothing(start):
    script = f"{start}with quiet(): print('ran')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"ran\n"


@pytest.mark.parametrize("memory", [True, False])
def test_no_folder_for_temporary_files_stops_nothing(monkeypatch, memory):
    def refuse(*_: object):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    done = []
    with quiet():
        done.append(1)
    assert done
