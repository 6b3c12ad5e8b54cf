"""``cvae-edge monitor``, and ``score`` with it: what they write, say and refuse."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvae_edge import EdgeCVAE

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """good.npy, 400 images of the tiny model; parts/, two good ones and one of noise."""
    folder = tmp_path_factory.mktemp("data")
    images = (EdgeCVAE.load(TINY).generate(402, seed=5) > 0.5).astype(np.uint8) * np.uint8(255)
    np.save(folder / "good.npy", images[:400])
    noise = np.random.default_rng(0).random((8, 8)) > 0.5
    (folder / "parts").mkdir()
    for name, image in (
        ("a", images[400]),
        ("b", images[401]),
        ("c", noise[..., np.newaxis] * 255),
    ):
        Image.fromarray(image[..., 0].astype(np.uint8)).save(folder / "parts" / f"{name}.png")
    return folder


@pytest.fixture
def bundle(tmp_path, data, run_cli) -> Path:
    shutil.copytree(TINY, tmp_path / "b")
    fitted = run_cli("monitor", tmp_path / "b", "--good", data / "good.npy", "--false-alarms", 0.05,
                     "--precision", "float32", "--json")  # fmt: skip
    assert fitted.code == 0
    document = json.loads(fitted.out)
    assert (document["method"], document["images"], document["confidence"]) == ("field", 400, 0.95)
    assert document["pairs"][0]["files"] == ["encoder.onnx", "decoder.onnx"]
    return tmp_path / "b"


def test_score_tells_and_shows_what_is_anomalous(run_cli, tmp_path, data, bundle):
    out = tmp_path / "heat"
    result = run_cli("score", data / "parts", "-b", bundle, "--heatmaps", out, "--json")
    assert result.code == 1
    rows = json.loads(result.out)["images"]
    assert [row["anomalous"] for row in rows] == [False, False, True]
    assert list(rows[0]) == [
        "file", "score", "anomalous", "elbo_at_mean", "kl", "reconstruction", "boxes",
    ]  # fmt: skip
    assert [row["score"] > 1 for row in rows] == [False, False, True]
    box = rows[2]["boxes"][0]
    assert list(box) == ["left", "top", "right", "bottom", "peak"]
    assert 0 <= box["left"] < box["right"] <= 8
    assert box["peak"] > 1
    assert "monitor.json" in run_cli("inspect", bundle).out
    pictures = sorted(out.iterdir())
    assert [path.name for path in pictures] == ["a.png", "b.png", "c.png"]
    hot = np.asarray(Image.open(pictures[2]))
    assert hot.shape == (8, 8, 3)
    assert (hot[..., 0].astype(int) > hot[..., 1]).any()


def test_score_writes_a_csv_that_report_reads(run_cli, tmp_path, data, bundle):
    scores = tmp_path / "s.csv"
    result = run_cli("score", data / "parts", "-b", bundle, "--out", scores)
    assert (result.code, result.out) == (1, "1 is the monitor's threshold; bounds are in nats.\n")
    rows = list(csv.DictReader(scores.open()))
    assert list(rows[0])[:3] == ["file", "score", "anomalous"]
    assert [row["anomalous"] for row in rows] == ["False", "False", "True"]
    report = run_cli("monitor", bundle, "--report", scores, "--out", tmp_path / "d.png")
    assert report.code == 0
    assert "1 of 3 images are anomalous, 33.33%" in report.out
    if find_spec("matplotlib"):
        assert Image.open(tmp_path / "d.png").format == "PNG"
    else:
        assert "matplotlib" in report.out
        assert not (tmp_path / "d.png").exists()


@pytest.mark.filterwarnings("ignore::cvae_edge.errors.DataWarning")
def test_results_do_not_depend_on_how_many_images_run_together(
    run_cli, tmp_path, data, bundle, monkeypatch
):
    parts, images = tmp_path / "many", np.load(data / "good.npy")
    parts.mkdir()
    for i in range(25):
        Image.fromarray(images[i, ..., 0]).save(parts / f"{i:02d}.png")
    (parts / "03.png").write_bytes(b"broken")
    shutil.copy(data / "parts" / "c.png", parts / "07.bmp.png")
    shutil.copy(data / "parts" / "c.png", parts / "07.bmp")
    got = []
    for images_at_once in (512, 3, 1):
        monkeypatch.setattr("cvae_edge.runtime.inputs._CHUNK_BYTES", images_at_once * 4 * 64)
        heat, table = tmp_path / f"heat-{images_at_once}", tmp_path / "s.csv"
        result = run_cli("score", parts, "-b", bundle, "--heatmaps", heat, "--json", "--out", table)
        assert result.code == 1
        pictures = {path.name: path.read_bytes() for path in heat.iterdir()}
        got.append((json.loads(result.out), table.read_text(), pictures))
    assert got[0] == got[1] == got[2]
    assert "03.png" not in got[0][2]
    assert len(got[0][2]) == 26
    assert [r["file"][-6:] for r in got[0][0]["images"] if "error" in r] == ["03.png"]


def test_without_matplotlib_a_report_says_so(run_cli, tmp_path, data, bundle, monkeypatch):
    scores = tmp_path / "s.csv"
    run_cli("score", data / "parts", "-b", bundle, "--out", scores)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    report = run_cli("monitor", bundle, "--report", scores, "--out", tmp_path / "d.png")
    assert report.code == 0
    assert "matplotlib is not installed" in report.out
    assert not (tmp_path / "d.png").exists()


def test_a_threshold_in_nats_takes_the_monitors_place(run_cli, data, bundle):
    result = run_cli("score", data / "parts", "-b", bundle, "--threshold", -1000, "--json")
    assert result.code == 0
    row = json.loads(result.out)["images"][0]
    assert row["score"] == -row["elbo_at_mean"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("monitor", "BUNDLE"), "give --good IMAGES"),
        (("monitor", "BUNDLE", "--good", "missing"), "not there"),
        (("monitor", "BUNDLE", "--good", "DATA/parts"), "needs at least 300 good images, got 3"),
        (("monitor", "BUNDLE", "--good", "DATA/good.npy", "--false-alarms", 0), "above 0"),
        (("monitor", "BUNDLE", "--good", "DATA/good.npy", "--false-alarms", 1), "above 0"),
        (("monitor", "BUNDLE", "--good", "DATA/good.npy", "--method", "x"), "method must be"),
        (("monitor", "BUNDLE", "--report", "DATA/good.npy"), "the columns score and anomalous"),
        (("score", "DATA/parts", "-b", TINY, "--heatmaps", "out"), "has no monitor"),
        (("score", "DATA/parts", "-b", "BUNDLE", "--precision", "int8"), "fit it for these too"),
        (("score", "DATA/parts", "-b", "BUNDLE", "--heatmaps", "o", "--threshold", 0), "give no"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_sentence_and_exit_2(run_cli, data, bundle, arguments, words):
    told = [str(a).replace("DATA", str(data)).replace("BUNDLE", str(bundle)) for a in arguments]
    result = run_cli(*told)
    assert result.code == 2
    assert words in result.err
    assert len(result.err.splitlines()) == 1


def test_a_monitor_without_places_refuses_heat_maps(run_cli, data, bundle, tmp_path):
    options = ("--method", "kl", "--false-alarms", 0.1, "--precision", "float32")
    assert run_cli("monitor", bundle, "--good", data / "good.npy", *options).code == 0
    result = run_cli("score", data / "parts", "-b", bundle, "--heatmaps", tmp_path / "out")
    assert result.code == 2
    assert "heat maps need a monitor that looks at places" in result.err


def test_larger_images_need_windows_to_be_looked_at(run_cli, tmp_path, data):
    shutil.copytree(TINY, tmp_path / "b")
    tiles = np.load(data / "good.npy")[:400].reshape(200, 2, 8, 8)
    np.save(tmp_path / "wide.npy", tiles.swapaxes(1, 2).reshape(200, 8, 16, 1))
    given = ("monitor", tmp_path / "b", "--good", tmp_path / "wide.npy", "--false-alarms", 0.05)
    assert "give --resize" in run_cli(*given).err
    assert run_cli(*given, "--windows", "--precision", "float32").code == 0
    result = run_cli("score", tmp_path / "wide.npy", "-b", tmp_path / "b", "--json")
    rows = json.loads(result.out)["images"]
    assert list(rows[0]) == ["file", "score", "anomalous", "boxes"]
    assert np.mean([row["anomalous"] for row in rows]) < 0.1
