"""Real processes: what they measure, and that none is left, whatever befalls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cvae_edge.benchmark.measure import measure
from cvae_edge.benchmark.plan import Configuration, Request
from cvae_edge.benchmark.turns import MAX_ROUNDS, MIN_ROUNDS
from cvae_edge.benchmark.worker_process import WorkerProcess
from cvae_edge.errors import BenchmarkError
from cvae_edge.runtime.engines import ENGINES

QUICK = Request(batches=(1,), min_seconds=0.02)
ENGINE = ENGINES["onnxruntime"]
ONNX = Configuration("decoder", ("decoder.onnx",), "onnx", "float32", "cpu", 2, 1, ENGINE)
linux = pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc tells of processes")


def children() -> set[int]:
    """Return this process's children that run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def test_every_configuration_is_measured_in_rounds(part):
    bundle = part("decoder.onnx", "decoder.int8.onnx")
    seen = []
    results = measure(
        bundle, Request(batches=(1, 6), min_seconds=0.02), lambda *step: seen.append(step)
    )
    assert [(r.configuration.name, r.configuration.batch) for r in results.rows] == [
        ("decoder.onnx", 1), ("decoder.int8.onnx", 1), ("decoder.onnx", 6), ("decoder.int8.onnx", 6)
    ]  # fmt: skip
    entries = {a.file: a for a in results.manifest.artifacts}
    for row in results.rows:
        artifact = entries[row.configuration.name]
        assert row.status == "measured"
        assert row.runs_on == "onnxruntime, CPUExecutionProvider"
        assert row.runs >= 50
        assert row.warm_up_runs >= 15
        assert MIN_ROUNDS <= len(row.rounds_ms) == len(row.relative) <= MAX_ROUNDS
        assert 0 < row.p50_ms <= row.p95_ms <= row.p99_ms
        assert row.load_ms > 0
        assert row.first_ms > 0
        assert row.images_per_second > 0
        assert row.on_device_ms is None
        assert row.size_bytes == artifact.size_bytes
        assert row.loss == pytest.approx(-artifact.elbo_difference)
        if sys.platform == "linux":
            assert 1e6 < row.memory_bytes < 3e8
    for batch, noise in results.noise.items():
        (reference,) = [r for r in results.of(batch) if r.configuration == noise.configuration]
        assert set(reference.relative) == {1.0}
        assert noise.noise >= abs(noise.ratio - 1)
    done, totals, _ = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1]
    assert len(set(totals)) == 1


def test_groups_that_do_not_fit_at_once_share_a_reference(part):
    bundle = part("decoder.onnx", "decoder.int8.onnx", "decoder.float16.onnx")
    results = measure(bundle, QUICK, alive=2)
    assert [row.status for row in results.rows] == ["measured"] * 3
    assert len(results.noise) == 1
    assert all(len(row.relative) >= MIN_ROUNDS for row in results.rows)
    assert set(results.rows[2].relative) != {1.0}


def test_a_damaged_file_is_a_failed_row_and_the_others_go_on(part):
    bundle = part("decoder.onnx", "decoder.int8.onnx")
    content = (bundle / "decoder.int8.onnx").read_bytes()
    (bundle / "decoder.int8.onnx").write_bytes(content[:-1] + b"\0")
    good, bad = measure(bundle, QUICK).rows
    assert (good.status, bad.status) == ("measured", "failed")
    assert "decoder.int8.onnx was changed or damaged" in bad.message
    assert bad.rounds_ms == []


@linux
@pytest.mark.parametrize("step", ["warm_up", "round"])
def test_a_crash_is_a_failed_row_and_the_others_go_on(part, monkeypatch, step):
    before = children()  # of other tests, as multiprocessing's own
    real = getattr(WorkerProcess, step)

    def crash(self, *arguments):
        if self.configuration.name == "decoder.int8.onnx":
            os.kill(self._process.pid, signal.SIGSEGV)
        return real(self, *arguments)

    monkeypatch.setattr(WorkerProcess, step, crash)
    good, bad = measure(part("decoder.onnx", "decoder.int8.onnx"), QUICK).rows
    assert (good.status, bad.status) == ("measured", "failed")
    assert bad.message.startswith(
        "decoder.int8.onnx ended the process that ran it (SIGSEGV): the file is damaged or made"
    )
    assert children() == before


def test_where_nothing_runs_the_first_reason_is_the_error(part):
    bundle = part("decoder.onnx")
    (bundle / "decoder.onnx").write_bytes(b"")
    with pytest.raises(
        BenchmarkError, match=r"at least one file must run .*decoder.onnx was chang"
    ):
        measure(bundle, QUICK)


def test_a_worker_that_cannot_start_is_a_sentence_with_its_last_words(part, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with (
        WorkerProcess(str(part("decoder.onnx")), ONNX) as worker,
        pytest.raises(BenchmarkError, match=r"ended the process that ran it \(exit code 1\): "),
    ):
        worker.open()


@linux
def test_a_worker_that_waits_takes_no_time_from_others(part):
    with WorkerProcess(str(part("decoder.onnx")), ONNX) as worker:
        worker.open()
        worker.round(0.05, 5)
        used = []
        for _ in range(3):  # on a busy machine it may still be ending the round in the first
            before = cpu_seconds(worker._process.pid)
            time.sleep(0.3)
            used.append(cpu_seconds(worker._process.pid) - before)
        assert min(used) <= 0.02


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@linux
def test_workers_of_a_killed_benchmark_end_in_the_middle_of_a_run(part):
    script = """
import sys
from cvae_edge.benchmark.plan import Configuration
from cvae_edge.benchmark.worker_process import WorkerProcess
from cvae_edge.runtime.engines import ENGINES
engine = ENGINES["onnxruntime"]
configuration = Configuration("decoder", ("decoder.onnx",), "onnx", "float32", "cpu", 1, 1, engine)
worker = WorkerProcess(sys.argv[1], configuration)
worker.open()
print(worker._process.pid, flush=True)
worker.round(60.0, 1)
"""
    bundle = str(part("decoder.onnx"))
    parent = subprocess.Popen(
        [sys.executable, "-c", script, bundle], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 300
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(pid)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@linux
def test_an_interrupt_keeps_what_was_measured_and_leaves_no_process(part, monkeypatch):
    before = children()
    real, calls = WorkerProcess.round, []

    def interrupted(self, seconds, runs):
        calls.append(self)
        if len(calls) == 3 * 4 + 2:  # of two files and the reference's double, in the fifth round
            raise KeyboardInterrupt
        return real(self, seconds, runs)

    monkeypatch.setattr(WorkerProcess, "round", interrupted)
    results = measure(part("decoder.onnx", "decoder.int8.onnx"), QUICK)
    assert results.interrupted
    assert [row.status for row in results.rows] == ["stopped", "stopped"]
    assert {len(row.relative) for row in results.rows} == {4}
    assert children() == before


def test_measuring_needs_no_training_framework():
    script = """
import sys
import cvae_edge.benchmark.measure, cvae_edge.benchmark.worker, cvae_edge.benchmark.folder
import cvae_edge.benchmark.calls, cvae_edge.benchmark.on_device, cvae_edge.cli.benchmarking
print(*{name.split(".")[0] for name in sys.modules})
"""
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"tensorflow", "keras", "tf2onnx", "onnx", "matplotlib"} & set(loaded)
