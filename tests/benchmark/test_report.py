"""The report says what was measured, on what, and how."""

from __future__ import annotations

import json
import sys

from benchmark.conftest import make_results, make_row

from cvae_edge.benchmark.folder import write_report
from cvae_edge.benchmark.report import table_rows, to_json, to_markdown


def rows_of(bundle):
    best = make_row("decoder.onnx", 1.0)
    slow = make_row("decoder.int8.onnx", 2.0, loss=0.05)
    many = make_row("decoder.onnx", 8.0, batch=16)
    return make_results(bundle, slow, best, many)


def test_the_best_comes_first_and_is_marked(tiny):
    rows = table_rows(rows_of(tiny))
    assert [row["file"] for row in rows] == [
        "> decoder.onnx",
        "decoder.int8.onnx",
        "> decoder.onnx",
    ]
    assert [row["ratio"] for row in rows] == ["best", "2.00x", "best"]
    assert [row["nats"] for row in rows] == ["0.000", "0.050", "0.000"]
    assert "on device" not in rows[0]


def test_a_loss_that_rounds_to_nothing_has_no_sign(tiny):
    (row,) = table_rows(make_results(tiny, make_row(loss=-1e-7)))
    assert row["nats"] == "0.000"


def test_runs_on_a_gpu_are_shown_with_copies_and_without(tiny):
    host, gpu = make_row("decoder.onnx", 1.0), make_row("decoder.onnx", 0.5, provider="cuda")
    gpu.on_device_ms = 0.25
    rows = table_rows(make_results(tiny, host, gpu))
    assert [row["file"] for row in rows] == ["> decoder.onnx on cuda", "decoder.onnx"]
    assert [(row["p50 ms"], row["on device"]) for row in rows] == [("0.500", "0.250"), ("1.00", "")]


def test_the_json_holds_every_figure_and_is_strict(tiny):
    results = rows_of(tiny)
    failed = make_row("decoder.tflite")
    failed.status, failed.message = "failed", "it broke"
    failed.rounds_ms, failed.relative = [], []
    results.rows.append(failed)
    document = json.loads(json.dumps(to_json(results), allow_nan=False))
    assert document["interrupted"] is False
    assert document["advice"][0].startswith("Ship decoder.onnx with 1 thread: 1.00 ms an image")
    assert [row["files"] for row in document["rows"]] == [
        ["decoder.onnx"], ["decoder.int8.onnx"], ["decoder.tflite"], ["decoder.onnx"]
    ]  # fmt: skip
    first = document["rows"][0]
    assert first["best"] is True
    for name in (
        "provider", "runs_on", "threads", "batch", "size_bytes", "load_ms", "first_ms", "p50_ms",
        "p95_ms", "p99_ms", "images_per_second", "memory_bytes", "elbo", "loss", "rounds_ms",
    ):  # fmt: skip
        assert first[name] is not None, name
    assert document["rows"][2]["message"] == "it broke"
    for name in ("processor", "cores", "cpu_features", "versions", "date"):
        assert name in document["machine"]
    assert document["noise"]["1"]["noise"] == 0.02


def test_the_markdown_states_method_machine_and_what_is_missing(tiny):
    results = rows_of(tiny)
    results.skipped = {"decoder.tflite": "no LiteRT"}
    results.rows[0].status, results.interrupted = "stopped", True
    text = to_markdown(results, ["a.png"])
    assert "| > decoder.onnx | 1 | 1.00 | 2.00 | 3.00 | best |" in text
    assert "decoder.int8.onnx* |" in text
    assert "rows marked * lack rounds" in text
    assert "## Batch 16" in text
    assert "The noise is 2.0%." in text
    assert "- decoder.tflite was skipped: no LiteRT" in text
    assert "at least 50 runs and 2 seconds in all" in text
    assert "cores: " in text
    assert "![a.png](a.png)" in text


def test_without_matplotlib_the_report_is_whole_but_for_its_plots(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    (left_out,) = write_report(rows_of(tiny), tmp_path / "new" / "report")
    assert left_out.endswith("pip install matplotlib")
    names = {path.name for path in (tmp_path / "new" / "report").iterdir()}
    assert names == {"results.json", "report.md"}
    json.loads((tmp_path / "new" / "report" / "results.json").read_text())
