"""precision="auto": what is measured at the first load, and what is kept of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.bundle import Bundle
from cvae_edge.manifest import Artifact
from cvae_edge.runtime import measured
from cvae_edge.runtime.choose import choose_artifact
from cvae_edge.runtime.measured import measure_files


class Clock:
    """Gives times of its own, and counts how often it was asked."""

    def __init__(self, microseconds: dict[str, float]) -> None:
        self.microseconds, self.asked = microseconds, 0

    def __call__(self, calls, *args, **kwargs):
        self.asked += 1
        return {name: [self.microseconds.get(name, 99.0), 500.0] for name in calls}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(measured, "_memory", {})
    return tmp_path / "cache" / "cvae-edge"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock({"decoder.int8.onnx": 10.0, "encoder.float16.onnx": 10.0})
    monkeypatch.setattr(measured, "time_in_turns", clock)
    return clock


@pytest.fixture
def decoders(tiny: Path) -> list[Artifact]:
    artifacts = Bundle.open(tiny).manifest.artifacts
    return [a for a in artifacts if (a.role, a.format) == ("decoder", "onnx")]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a new process."""
    monkeypatch.setattr(measured, "_memory", {})


def test_auto_takes_what_is_fastest_here_and_measures_once(
    tiny: Path, cache: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        model = EdgeCVAE.load(tiny, precision="auto", format="onnx")
        assert "encoder.float16.onnx, decoder.int8.onnx" in repr(model)
        forget(monkeypatch)
    assert clock.asked == 2  # the encoders and the decoders
    assert len(list(cache.iterdir())) == 2


def test_the_cache_lies_outside_the_bundle_and_other_precisions_make_none(
    tiny: Path, cache: Path
) -> None:
    before = sorted(tiny.iterdir())
    EdgeCVAE.load(tiny, precision="int8")
    assert not cache.exists()
    EdgeCVAE.load(tiny, precision="auto")
    assert sorted(tiny.iterdir()) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: "{",
        lambda document: "",
        lambda document: "[" * 50_000,
        lambda document: json.dumps([document]),
        lambda document: json.dumps({**document, "key": {}}),
        lambda document: json.dumps({**document, "microseconds": {}}),
        lambda document: json.dumps({**document, "microseconds": {"decoder.onnx": -1.0}}),
        lambda document: json.dumps({**document, "microseconds": {"decoder.onnx": "1"}}),
        lambda document: json.dumps({**document, "microseconds": {"other.onnx": 1.0}}),
        lambda document: json.dumps({**document, "microseconds": 3}),
    ],
)
def test_a_damaged_cache_is_ignored_and_written_anew(
    damage, tiny: Path, decoders, cache: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(tiny)
    wanted = measure_files(bundle, 1, decoders)
    (file,) = cache.iterdir()
    right = file.read_text()
    file.write_text(damage(json.loads(right)))
    forget(monkeypatch)
    assert measure_files(bundle, 1, decoders) == wanted
    assert clock.asked == 2
    assert file.read_text() == right
    assert [*cache.iterdir()] == [file]  # and nothing half written


def test_where_nobody_may_write_it_is_kept_in_memory(
    tiny: Path, decoders, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made in it
    for _ in range(2):
        assert measure_files(Bundle.open(tiny), 1, decoders)["decoder.int8.onnx"] == 10.0
    assert clock.asked == 1


def test_a_user_without_a_home_is_no_error(
    tiny: Path, decoders, cache: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(measured.Path, "home", no_home)
    assert measure_files(Bundle.open(tiny), 1, decoders)["decoder.int8.onnx"] == 10.0


@pytest.mark.parametrize("what", ["threads", "engine", "processor", "version", "files"])
def test_what_times_depend_on_makes_them_measured_anew(
    what: str, tiny: Path, decoders, cache: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, threads = Bundle.open(tiny), 1
    measure_files(bundle, threads, decoders)
    if what == "threads":
        threads = 2
    elif what == "engine":
        monkeypatch.setattr(measured, "version", lambda engine: "0.1")
    elif what == "processor":
        monkeypatch.setattr(measured, "processor", lambda: "another")
    elif what == "version":
        monkeypatch.setattr(measured, "__version__", "0.0")
    else:
        decoders = decoders[1:]
    measure_files(bundle, threads, decoders)
    assert clock.asked == 2
    assert len(list(cache.iterdir())) == 2


def test_threads_that_load_at_once_measure_once_and_agree(
    tiny: Path, cache: Path, clock: Clock
) -> None:
    models: list[str] = []
    loads = [
        threading.Thread(
            target=lambda: models.append(
                repr(EdgeCVAE.load(tiny, precision="auto", format="onnx", threads=1))
            )
        )
        for _ in range(6)
    ]
    for load in loads:
        load.start()
    for load in loads:
        load.join()
    assert len(models) == 6
    assert len(set(models)) == 1
    assert clock.asked == 2


def test_a_process_agrees_with_one_that_was_first(
    tiny: Path, decoders, cache: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(tiny)

    def slowly(*arguments):
        with monkeypatch.context() as patch:  # meanwhile another has measured and written
            patch.setattr(measured, "_measure", lambda *a: {"decoder.onnx": 3.0})
            patch.setattr(measured, "_lock", threading.Lock())
            patch.setattr(measured, "_memory", {})
            measure_files(bundle, 1, decoders)
        return {"decoder.onnx": 7.0}

    monkeypatch.setattr(measured, "_measure", slowly)
    assert measure_files(bundle, 1, decoders) == {"decoder.onnx": 3.0}


def test_processes_that_load_at_once_all_load(tiny: Path, cache: Path) -> None:
    script = (
        "import sys; from cvae_edge import EdgeCVAE; "
        "print(len(EdgeCVAE.load(sys.argv[1], precision='auto', threads=1).generate(1)))"
    )
    command = [sys.executable, "-c", script, str(tiny)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == ["1\n"] * 2
    assert [json.loads(file.read_text())["key"]["threads"] for file in cache.iterdir()] == [1, 1]


def test_a_file_that_cannot_be_opened_is_not_chosen(tiny: Path, decoders, cache: Path) -> None:
    def read(name: str, most: int) -> bytes:
        content = (tiny / name).read_bytes()
        return content[:-9] if name in ("decoder.onnx", "encoder.onnx") else content

    bundle = Bundle.from_reader(read, "damaged")
    times = measure_files(bundle, 1, decoders)
    assert set(times) == {a.file for a in decoders} - {"decoder.onnx"}
    assert EdgeCVAE.load(bundle, precision="auto", format="onnx").generate(1).shape[0] == 1


def test_only_files_within_the_budget_are_timed(tiny: Path) -> None:
    manifest = Bundle.open(tiny).manifest
    entries = tuple(
        a._replace(elbo=-99.0, elbo_difference=-9.0) if a.precision == "int8" else a
        for a in manifest.artifacts
    )
    timed: list[str] = []

    def measure(artifacts: Sequence[Artifact]) -> dict[str, float]:
        timed.extend(a.precision for a in artifacts)
        return {a.file: 1.0 for a in artifacts}

    choose_artifact(manifest._replace(artifacts=entries), "decoder", "onnx", "auto", measure)
    assert sorted(timed) == ["dynamic_range", "float16", "float32"]


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"decoder.float16.onnx": 100.0, "decoder.int8.onnx": 95.0}, "float16"),  # as fast
        ({"decoder.float16.onnx": 100.0, "decoder.int8.onnx": 80.0}, "int8"),
        ({"decoder.int8.onnx": 900.0}, "int8"),  # the others could not be timed
        ({}, "float16"),  # nothing could
    ],
)
def test_files_that_are_as_fast_keep_the_manifests_order(
    times: dict[str, float], chosen: str, tiny: Path
) -> None:
    """In the tiny bundle's, decoder.float16.onnx comes first, by latency_us."""
    manifest = Bundle.open(tiny).manifest
    got = choose_artifact(manifest, "decoder", "onnx", "auto", lambda artifacts: times)
    assert got.precision == chosen
