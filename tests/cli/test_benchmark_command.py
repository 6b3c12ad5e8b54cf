"""The benchmark command: what it prints and saves, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cvae_edge.errors import DependencyError
from cvae_edge.manifest import digest

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Two decoders that every install can run."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = json.loads((TINY / "manifest.json").read_text())
    files = ("decoder.onnx", "decoder.float16.onnx")
    manifest["artifacts"] = [a for a in manifest["artifacts"] if a["file"] in files]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"digest": digest(manifest)}))
    for file in files:
        shutil.copy(TINY / file, folder)
    return folder


QUICK = ("--batch", "1", "--threads", "1", "--min-seconds", "0.02")


def test_prints_a_table_and_what_to_ship_and_saves_the_report(run_cli, bundle, tmp_path):
    result = run_cli("benchmark", bundle, *QUICK, "--out", tmp_path / "report")
    assert result.code == 0
    assert "> decoder." in result.out
    assert result.out.splitlines()[-1].startswith("Ship decoder.")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"results.json", "report.md"} <= names
    assert (len(names) == 4) != ("pip install matplotlib" in result.err)


def test_a_narrow_terminal_gets_what_decides(run_cli, bundle, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run_cli("benchmark", bundle, *QUICK).out.splitlines()
    head = next(line.split() for line in lines if "threads" in line)
    assert head == ["file", "batch", "threads", "p50", "ms", "ratio", "img/s", "nats"]
    assert any("--json and --out have all of them" in line for line in lines)


def test_files_that_cannot_be_measured_here_are_named_with_the_reason(run_cli, monkeypatch):
    from cvae_edge.benchmark import plan

    def load_engine(format: str, provider: str) -> None:
        if format == "tflite":
            raise DependencyError("they need LiteRT")

    monkeypatch.setattr(plan, "load_engine", load_engine)
    result = run_cli("benchmark", TINY, *QUICK)
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if "skipped" in line]
    assert line.startswith("cvae-edge: skipped decoder.tflite, decoder.float16.tflite, ")
    assert line.endswith(": they need LiteRT")


def test_json_is_one_document_and_nothing_else(run_cli, bundle):
    result = run_cli("benchmark", bundle, *QUICK, "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert [row["status"] for row in document["rows"]] == ["measured"] * 2
    assert document["request"]["min_seconds"] == 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--role", "both"), "role must be one of decoder, encoder, reconstruct, generate, got"),
        (("--role", "encoder"), "must have files for encoder to measure it, got decoder.onnx"),
        (("--batch", "0"), "batch must be at least 1, got 0"),
        (("--batch", "1,x"), "--batch must be whole numbers with commas between them, got '1,x'"),
        (("--batch", ""), "--batch must be whole numbers"),
        (("--threads", "0"), "threads must be at least 1, got 0"),
        (("--threads", "two"), "--threads must be whole numbers"),
        (("--provider", "gpu"), "provider must be one of cpu,"),
        (("--provider", "cpu,cuda"), "pip install onnxruntime-gpu"),
        (("--min-seconds", "0"), "min-seconds must be above 0, got 0"),
        (("--out", __file__), "--out must be a folder, got the file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(run_cli, bundle, options, message):
    result = run_cli("benchmark", bundle, *QUICK, *options)
    assert result.code == 2
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert message in result.err


@pytest.mark.filterwarnings("always::cvae_edge.errors.BenchmarkWarning")
def test_more_threads_than_cores_are_warned_of_and_measured(run_cli, bundle):
    result = run_cli("benchmark", bundle, *QUICK, "--threads", "99", "--json")
    assert result.code == 0
    assert result.err.startswith("cvae-edge: warning: 99 threads were asked for")
    assert json.loads(result.out)["rows"][0]["threads"] == 99


ANNOUNCED = """
import sys
from cvae_edge.benchmark import measure
from cvae_edge.cli import main
take_turns = measure.take_turns
def announced(source, rows, seconds, *rest):
    if rows[0].configuration.batch == 2:
        seconds = 3600  # so that it is still under way when the signal comes
    noise = take_turns(source, rows, seconds, *rest)
    print("a batch is done", file=sys.stderr, flush=True)
    return noise
measure.take_turns = announced
main()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc tells of processes")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_prints_and_saves_what_is_finished(bundle, tmp_path, number, code):
    report = tmp_path / "report"
    options = ["--batch", "1,2", "--threads", "1", "--min-seconds", "0.5", "--out", str(report)]
    process = subprocess.Popen(
        [sys.executable, "-c", ANNOUNCED, "benchmark", str(bundle), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "a batch is done\n"
    deadline = time.monotonic() + 300
    while not (workers := children_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, number)  # as a terminal does: to all of the foreground
    out, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert workers
    deadline = time.monotonic() + 300  # one that was just being started ends by itself
    while any(left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    assert "cvae-edge: interrupted: rows marked * lack rounds, and others are absent" in err
    assert "Traceback" not in err
    assert "Ship decoder." in out
    assert "For batches of 2 nothing was measured to the end" in out
    document = json.loads((report / "results.json").read_text())
    assert document["interrupted"] is True
    finished = [row for row in document["rows"] if row["batch"] == 1]
    assert [row["status"] for row in finished] == ["measured"] * 2
    assert (report / "report.md").exists()


def children_of(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in children.read_text().split()]
