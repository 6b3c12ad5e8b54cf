"""A .csv of scores that is appended to ends as one that was written at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import blobs

from cvae_edge.images import write_image

TINY = Path(__file__).parents[1] / "data" / "tiny"
pytestmark = pytest.mark.filterwarnings("ignore:skipped:cvae_edge.errors.DataWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i, image in enumerate(blobs(40)):
        name = f"{i:02d}, a comma.png" if i % 7 else f"{i:02d}\na line.png"
        write_image(folder / name, image, durable=False)
    (folder / "05 broken.png").write_bytes(b"\x89PNG")
    return folder


def score(run_cli, images, out, *options, code=0):
    done = run_cli("score", images, "-b", TINY, "--out", out, "--threads", 1, *options)
    assert done.code == code, done.err
    return done


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arrays") / "images.npy"
    np.save(path, blobs(1300, seed=2))  # three parts
    return path


@pytest.mark.parametrize("source", ["folder", "arrays"])
def test_wherever_it_was_cut_it_ends_as_written_at_once(request, run_cli, tmp_path, source):
    images = request.getfixturevalue(source)
    score(run_cli, images, tmp_path / "whole.csv")
    whole = (tmp_path / "whole.csv").read_bytes()
    for cut in (0, 5, whole.index(b"\n") + 1, len(whole) // 3, len(whole) - 1, len(whole)):
        (tmp_path / "cut.csv").write_bytes(whole[:cut])
        score(run_cli, images, tmp_path / "cut.csv", "--resume")
        assert (tmp_path / "cut.csv").read_bytes() == whole, cut


def test_rows_that_are_there_are_not_made_again(run_cli, tmp_path, folder):
    score(run_cli, folder, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_bytes()
    first, begin = lines.index(b"\n") + 1, lines.rindex(b"39, a comma")
    marked = lines[:first] + lines[first:begin].replace(b".png,", b".png,99")
    (tmp_path / "b.csv").write_bytes(marked)
    score(run_cli, folder, tmp_path / "b.csv", "--resume")
    assert (tmp_path / "b.csv").read_bytes() == marked + lines[begin:]


def test_anomalies_of_the_rows_that_are_there_count(run_cli, tmp_path, folder):
    bound = ("--threshold", "1e9")  # every image is below
    score(run_cli, folder, tmp_path / "a.csv", *bound, code=1)
    done = score(run_cli, folder, tmp_path / "a.csv", *bound, "--resume", code=1)
    assert "has a row for each of these images already" in done.out


def test_other_images_and_other_options_are_refused(run_cli, tmp_path, folder, arrays):
    out = tmp_path / "a.csv"
    score(run_cli, folder, out)
    before = out.read_bytes()
    part = before[: before.rindex(b"39, a comma")]
    out.write_bytes(part)
    done = score(run_cli, arrays, out, "--resume", code=2)
    assert "the images must be those of the first time" in done.err
    done = score(run_cli, folder, out, "--resume", "--samples", 2, code=2)
    assert "--resume needs the options that" in done.err
    assert out.read_bytes() == part
    out.write_bytes(b"a,b\n1,2\n")
    done = score(run_cli, folder, out, "--resume", code=2)
    assert "must be a .csv that score wrote" in done.err
    for wrong in (("--out", "-"), ("--out", tmp_path / "a.csv", "--json")):
        done = run_cli("score", folder, "-b", TINY, "--resume", *wrong)
        assert done.code == 2
        assert "give --out NAME.csv, and no --json" in done.err


def test_a_killed_command_goes_on(run_cli, tmp_path):
    images = tmp_path / "images.npy"
    np.save(images, blobs(20_000, seed=3))
    out = tmp_path / "a.csv"
    words = ["score", str(images), "-b", str(TINY), "--out", str(out), "--threads", "1", "--resume"]
    command = [sys.executable, "-c", "from cvae_edge.cli import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None and not (out.exists() and out.stat().st_size > 50_000):
            time.sleep(0.005)
        os.kill(running.pid, signal.SIGKILL)
    rows = out.read_bytes().count(b"\n") - 1
    assert 0 < rows < 20_000
    score(run_cli, images, out, "--resume")
    score(run_cli, images, tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
