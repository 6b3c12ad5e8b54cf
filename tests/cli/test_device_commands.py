"""The device-side commands: what they read and write, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvae_edge import EdgeCVAE

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture(scope="module")
def model() -> EdgeCVAE:
    return EdgeCVAE.load(TINY)


@pytest.fixture
def folder(run_cli, tmp_path) -> Path:
    """Ten single images, 000000.png to 000009.png."""
    assert run_cli("generate", TINY, "-n", 10, "--out", tmp_path / "images").code == 0
    return tmp_path / "images"


def pipe(*arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    code = "from cvae_edge.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], input=given, capture_output=True
    )


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_generate_writes_a_grid(run_cli, tmp_path, model):
    result = run_cli("generate", TINY, "-n", 6, "--columns", 3, "--out", tmp_path / "a.png")
    assert (result.code, result.out) == (0, f"6 images in {tmp_path / 'a.png'}\n")
    grid = pixels(tmp_path / "a.png")
    assert grid.shape == (22, 32)  # 2 and 3 images of 8 pixels, 2 between and around them
    first = np.rint(model.generate(1)[0, :, :, 0] * 255)
    np.testing.assert_array_equal(grid[2:10, 2:10], first)


def test_generate_writes_arrays_that_are_the_librarys(run_cli, tmp_path, model):
    expected = model.generate(20, seed=3, start=5)
    options = ("generate", TINY, "-n", 20, "--seed", 3, "--start", 5, "--out")
    assert run_cli(*options, tmp_path / "a.npy").code == 0
    assert run_cli(*options, tmp_path / "a.npz").code == 0
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), expected, atol=2e-6)
    np.testing.assert_allclose(np.load(tmp_path / "a.npz")["x_recon"], expected, atol=2e-6)


def test_generate_numbers_single_images_by_their_place_in_the_stream(run_cli, tmp_path):
    run_cli("generate", TINY, "-n", 3, "--start", 7, "--out", tmp_path / "images")
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == ["000007.png", "000008.png", "000009.png"]
    run_cli("generate", TINY, "-n", 1, "--start", 8, "--out", tmp_path / "one.png")
    np.testing.assert_array_equal(
        pixels(tmp_path / "one.png"), pixels(tmp_path / "images" / "000008.png")
    )


def test_encode_then_decode_is_reconstruct(run_cli, tmp_path, folder, model):
    z, decoded, both = tmp_path / "z.npz", tmp_path / "d.npy", tmp_path / "r.npy"
    assert run_cli("encode", folder, "-b", TINY, "--out", z).code == 0
    assert run_cli("decode", z, "-b", TINY, "--out", decoded).code == 0
    assert run_cli("reconstruct", folder, "-b", TINY, "--mean", "--out", both).code == 0
    with np.load(z) as latents:
        assert latents["mean"].shape == latents["logvar"].shape == (10, 4)
    np.testing.assert_allclose(np.load(decoded), np.load(both), atol=1e-5)


def test_reconstruct_draws_each_image_beside_its_reconstruction(run_cli, tmp_path, folder):
    run_cli("reconstruct", folder, "-b", TINY, "--out", tmp_path / "r.png")
    grid = pixels(tmp_path / "r.png")
    np.testing.assert_array_equal(grid[2:10, 2:10], pixels(folder / "000000.png"))
    np.testing.assert_array_equal(grid[2:10, 22:30], pixels(folder / "000001.png"))


def test_interpolate_writes_a_row_a_pair(run_cli, tmp_path, folder):
    a, b, out = folder / "000000.png", folder / "000001.png", tmp_path / "i.png"
    assert run_cli("interpolate", a, b, "-b", TINY, "--steps", 5, "--out", out).code == 0
    assert pixels(out).shape == (12, 52)


def test_score_writes_csv(run_cli, tmp_path, folder, model):
    _, printed, said = run_cli("score", folder, "-b", TINY)
    assert said == "Scores are in nats.\n"
    written = run_cli("score", folder, "-b", TINY, "--out", tmp_path / "s.csv")
    assert (written.out, written.err) == ("Scores are in nats.\n", "")
    assert (tmp_path / "s.csv").read_text() == printed
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == ["file", "score", "elbo_at_mean", "kl", "reconstruction", "error"]
    assert rows[3]["file"] == str(folder / "000003.png")
    images = np.stack([pixels(path) for path in sorted(folder.iterdir())])
    scores = [float(row["elbo_at_mean"]) for row in rows]
    np.testing.assert_allclose(scores, model.score(images), atol=1e-3)
    assert [float(row["score"]) for row in rows] == [-score for score in scores]


def test_score_with_samples_writes_the_iwae_bound(run_cli, folder, model):
    rows = list(
        csv.DictReader(io.StringIO(run_cli("score", folder, "-b", TINY, "--samples", 3).out))
    )
    assert list(rows[0]) == ["file", "score", "elbo", "kl", "reconstruction", "iwae", "error"]
    images = np.stack([pixels(path) for path in sorted(folder.iterdir())])
    bounds = [float(row["iwae"]) for row in rows]
    np.testing.assert_allclose(bounds, model.score(images, samples=3), atol=1e-3)


def test_the_old_csv_stays_until_the_new_one_is_whole_and_any_name_is_written(
    run_cli, tmp_path, folder
):
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(folder / "000000.png", folder / name)
    out = tmp_path / "s.csv"
    assert run_cli("score", folder, "-b", TINY, "--out", out).code == 0
    files = [row["file"] for row in csv.DictReader(io.StringIO(out.read_text("utf-8")))]
    assert files[-1] == f"{folder}/caf\\udce9.png"
    assert pipe("score", folder, "-b", TINY).stdout == out.read_bytes()
    before = out.read_bytes()
    assert run_cli("score", folder, "-b", TINY, "--samples", -1, "--out", out).code == 2
    assert out.read_bytes() == before


@pytest.fixture
def broken(folder, tmp_path) -> Path:
    """Twenty images, of which the fourth is cut short."""
    for i in range(10):
        shutil.copy(folder / f"{i:06d}.png", folder / f"{i + 10:06d}.png")
    path = folder / "000003.png"
    path.write_bytes(path.read_bytes()[:40])
    return folder


@pytest.mark.filterwarnings("always::cvae_edge.errors.DataWarning")
def test_a_broken_image_is_reported_in_its_row_and_stops_nothing(run_cli, tmp_path, broken):
    result = run_cli("score", broken, "-b", TINY)
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert len(rows) == 20
    assert [row["file"] for row in rows if row["error"]] == [str(broken / "000003.png")]
    assert rows[3]["elbo_at_mean"] == ""
    assert "not a readable image" in rows[3]["error"]
    (line,) = result.err.splitlines()[:-1]
    assert line.startswith("cvae-edge: warning: skipped: ")
    flagged = json.loads(
        run_cli("score", broken, "-b", TINY, "--threshold", 0, "--json", "--out", "-").out
    )
    assert flagged["anomalies"] == 19
    assert set(flagged["images"][3]) == {"file", "error"}
    for command, name in (("reconstruct", "x_recon"), ("encode", "mean")):
        out = tmp_path / "a.npz"
        assert run_cli(command, broken, "-b", TINY, "--out", out).code == 0
        with np.load(out) as arrays:
            lost = np.isnan(arrays[name]).reshape(20, -1)
        assert np.flatnonzero(lost.any(axis=1)).tolist() == [3]
        assert lost[3].all()
    assert run_cli("reconstruct", broken, "-b", TINY, "--out", tmp_path / "r").code == 0
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {path.name for path in broken.iterdir()} - {"000003.png"}


@pytest.mark.filterwarnings("always::cvae_edge.errors.DataWarning")
def test_more_than_a_twentieth_of_broken_images_is_exit_2(run_cli, broken):
    (broken / "000004.png").write_bytes(b"")
    result = run_cli("score", broken, "-b", TINY)
    assert (result.code, result.out) == (2, "")
    assert "at most 5% of the images may be broken, got 2 of 20" in result.err
    result = run_cli("interpolate", broken / "000003.png", broken / "000005.png", "-b", TINY)
    assert result.code == 2


def test_reconstructions_are_called_as_their_images_and_take_nobodys_place(
    run_cli, tmp_path, folder
):
    (folder / "more").mkdir()
    for name in ("000000.bmp", "more/000000.png", "more/a.b.png"):
        Image.fromarray(pixels(folder / "000001.png")).save(folder / name)
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8)))
    out = tmp_path / "r"
    sources = (folder, folder / "000002.png", tmp_path / "x.npy")
    assert run_cli("reconstruct", *sources, "-b", TINY, "--out", out).code == 0
    names = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert names == sorted(
        [f"{i:06d}.png" for i in (1, *range(3, 10))]
        + ["000000.bmp.png", "000000.png.png", "000002.png.png", "000002.png-2.png"]
        + ["more/000000.png", "more/a.b.png", "x.npy[0].png", "x.npy[1].png"]
    )


def test_an_archive_gives_what_its_folder_gives(run_cli, tmp_path, folder):
    archive = tmp_path / "images.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "parts")  # in the file system's order
        names = tar.getnames()[1:]
    printed = {}
    for source in (archive, folder):
        rows = list(csv.reader(io.StringIO(run_cli("score", source, "-b", TINY).out)))
        printed[source] = {Path(row[0]).name: row[1:] for row in rows}
        if source == archive:
            assert [row[0] for row in rows[1:]] == [f"{archive}/{name}" for name in names]
    assert printed[archive] == printed[folder]
    assert run_cli("reconstruct", archive, "-b", TINY, "--out", tmp_path / "r").code == 0
    written = {str(p.relative_to(tmp_path / "r")) for p in (tmp_path / "r").rglob("*.png")}
    assert written == set(names)
    before = archive.read_bytes()
    refused = run_cli("score", archive, "-b", TINY, "--out", archive)
    assert (refused.code, archive.read_bytes()) == (2, before)


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconstruct", "IN", "--out", "IN"),
        ("reconstruct", "IN", "--out", "link"),
        ("reconstruct", "IN/000001.png", "--out", "IN/000001.png"),
        ("interpolate", "IN/000001.png", "IN/000002.png", "--steps", 3, "--out", "IN"),
        ("encode", "x.npz", "--out", "x.npz"),
        ("decode", "z.npz", "--out", "z.npz"),
        ("score", "IN", "--out", "IN/000001.png"),
    ],
)
def test_no_input_is_overwritten(run_cli, tmp_path, folder, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(folder)
    np.savez("x.npz", x=np.zeros((2, 8, 8)))
    np.savez("z.npz", z=np.zeros((2, 4), np.float32))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    words = (str(word).replace("IN", str(folder)) for word in arguments)
    result = run_cli(*words, "-b", TINY)
    assert result.code == 2
    assert "--out must not overwrite what is read" in result.err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_score_exits_with_1_only_if_something_is_below_the_threshold(run_cli, folder):
    low = run_cli("score", folder, "-b", TINY, "--threshold", -1000)
    high = run_cli("score", folder, "-b", TINY, "--threshold", 0, "--json")
    assert (low.code, high.code) == (0, 1)
    document = json.loads(high.out)
    assert (document["anomalies"], document["unit"]) == (10, "nats")
    assert all(image["anomalous"] for image in document["images"])


def test_a_threshold_can_be_fitted_on_images_as_they_should_be(run_cli, tmp_path, folder, model):
    images = model.generate(200, seed=20) > 0.5
    np.save(tmp_path / "normal.npy", images)
    static = np.random.default_rng(0).random((5, 8, 8))
    np.save(tmp_path / "static.npy", static)
    fitted = ("-b", TINY, "--reference", tmp_path / "normal.npy", "--percentile", 1)
    bad = run_cli("score", tmp_path / "static.npy", *fitted, "--json")
    assert bad.code == 1
    document = json.loads(bad.out)
    assert document["anomalies"] == 5
    assert document["images"][2]["file"].endswith("static.npy[2]")
    expected = -np.percentile(model.score(images), 1)  # of the score, which is less the bound
    assert document["threshold"] == pytest.approx(expected, abs=1e-3)


def test_json_is_all_that_standard_output_gets(run_cli, tmp_path, folder):
    for command in (
        ("generate", TINY, "-n", 2, "--out", tmp_path / "a.png"),
        ("encode", folder, "-b", TINY, "--out", tmp_path / "z.npz"),
        ("reconstruct", folder, "-b", TINY, "--out", tmp_path / "r.png"),
    ):
        document = json.loads(run_cli(*command, "--json").out)
        assert document["images"] in (2, 10)
        assert "decoder.onnx" in document["model"]


def test_commands_pass_arrays_through_standard_output_and_input(model):
    images = pipe("generate", TINY, "-n", 4, "--out", "-")
    latents = pipe("encode", "-", "-b", TINY, "--out", "-", given=images.stdout)
    decoded = pipe("decode", "-", "-b", TINY, "--out", "-", given=latents.stdout)
    expected = model.reconstruct(model.generate(4), sample=False)
    got = np.load(io.BytesIO(decoded.stdout), allow_pickle=False)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_image_may_come_through_standard_input(folder):
    got = pipe("score", "-", "-b", TINY, given=(folder / "000000.png").read_bytes())
    assert got.returncode == 0
    assert got.stdout.startswith(b"file,score,elbo")


def test_other_formats_and_precisions_are_options(run_cli, tmp_path, model):
    precision = next(
        (a.precision for a in model.manifest.artifacts if a.precision != "float32"), "float32"
    )
    options = ("--precision", precision, "--threads", 1, "--json")
    result = run_cli("generate", TINY, "-n", 2, "--out", tmp_path / "a.png", *options)
    assert result.code == 0, result.err
    assert "decoder" in json.loads(result.out)["model"]


def test_images_of_another_size_or_colour_fit_when_asked(run_cli, tmp_path):
    Image.new("RGB", (20, 30), (200, 10, 10)).save(tmp_path / "big.png")
    refused = run_cli("encode", tmp_path / "big.png", "-b", TINY)
    assert refused.code == 2
    assert "--resize" in refused.err
    out = tmp_path / "z.npz"
    assert run_cli("encode", tmp_path / "big.png", "-b", TINY, "--resize", "--out", out).code == 0


def test_progress_and_results_of_a_large_folder(run_cli, tmp_path):
    assert run_cli("generate", TINY, "-n", 600, "--out", tmp_path / "many").code == 0
    assert len(list((tmp_path / "many").iterdir())) == 600


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "nowhere"),
        ("generate", TINY, "-n", 0),
        ("generate", TINY, "-n", -3),
        ("generate", TINY, "-n", 10**15, "--out", "a.npy"),
        ("generate", TINY, "--seed", -1),
        ("generate", TINY, "--start", -1),
        ("generate", TINY, "--out", "a.xyz"),
        ("generate", TINY, "--out", "-", "--json"),
        ("generate", TINY, "--precision", "int3"),
        ("generate", TINY, "--format", "coreml"),
        ("generate", TINY, "--threads", 0),
        ("generate", TINY, "--provider", "abacus"),
        ("encode", "text.png", "-b", TINY),
        ("encode", "empty.png", "-b", TINY),
        ("encode", "nowhere.png", "-b", TINY),
        ("encode", "empty", "-b", TINY),
        ("encode", "text.npy", "-b", TINY),
        ("encode", "text.npz", "-b", TINY),
        ("encode", "pickle.npy", "-b", TINY),
        ("encode", "nan.npy", "-b", TINY),
        ("encode", "wide.npy", "-b", TINY),
        ("encode", "good.npy", "-b", TINY, "--out", "a.png"),
        ("encode", "good.npy", "-b", "text.png"),
        ("decode", "good.npy", "-b", TINY),
        ("decode", "nowhere.npy", "-b", TINY),
        ("decode", "two.npz", "-b", TINY),
        ("reconstruct", "nan.npy", "-b", TINY),
        ("interpolate", "good.npy", "good.npy", "-b", TINY, "--steps", 1),
        ("interpolate", "good.npy", "good.npy", "-b", TINY, "--path", "around"),
        ("score", "good.npy", "-b", TINY, "--samples", -1),
        ("score", "good.npy", "-b", TINY, "--threshold", "nan"),
        ("score", "good.npy", "-b", TINY, "--percentile", 5),
        ("score", "good.npy", "-b", TINY, "--percentile", 101, "--reference", "good.npy"),
        ("score", "good.npy", "-b", TINY, "--out", "file/s.csv"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(run_cli, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("empty.png").touch()
    Path("file").write_text("x")
    for name in ("text.png", "text.npy", "text.npz"):
        Path(name).write_text("no image")
    np.save("pickle.npy", np.array([{}], object), allow_pickle=True)
    np.save("nan.npy", np.full((1, 8, 8), np.nan))
    np.save("wide.npy", np.zeros((1, 8, 80)))
    np.save("good.npy", np.zeros((1, 8, 8)))
    np.savez("two.npz", a=np.zeros(1), b=np.zeros(1))
    before = sorted(Path().rglob("*"))
    result = run_cli(*arguments)
    assert result.code == 2
    assert result.err.startswith("cvae-edge: ")
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert sorted(Path().rglob("*")) == before


LIMITED = """
import json, resource, sys
from cvae_edge.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for sys.argv in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as exit_:
        print(exit_.code)
"""


def test_a_disk_that_takes_no_more_costs_nothing_that_was_there(tmp_path, folder):
    """A limit on the size of files stands for the disk."""
    np.save(tmp_path / "z.npy", np.zeros((20, 4), np.float32))
    both = {"generate": (TINY,), "decode": (tmp_path / "z.npy", "-b", TINY)}
    given = dict.fromkeys(("encode", "reconstruct", "score"), (folder, "-b", TINY))
    outs = {"encode": ("a.npz",), "score": ("a.csv",)}
    commands, there = [], {}
    for verb, words in {**both, **given}.items():
        for name in outs.get(verb, ("a.png", "a.npy", "f")):
            out = tmp_path / verb / name
            old = out / "000000.png" if name == "f" else out
            old.parent.mkdir(parents=True, exist_ok=True)
            old.write_text("old")
            there[old] = "old"
            commands.append(["cvae-edge", verb, *map(str, words), "--out", str(out)])
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(commands)], capture_output=True, text=True
    )
    assert result.stdout.split() == ["2"] * len(commands)
    assert result.stderr.count("File too large") == len(commands)
    for verb in (*both, *given):
        found = {p: p.read_text() for p in (tmp_path / verb).rglob("*") if p.is_file()}
        assert found == {p: text for p, text in there.items() if p.is_relative_to(tmp_path / verb)}


def test_what_was_there_is_kept_when_writing_fails(run_cli, tmp_path, monkeypatch):
    for name in ("a.png", "a.npy"):
        out = tmp_path / name
        out.write_bytes(b"kept")

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            result = run_cli("generate", TINY, "-n", 2, "--out", out)
        assert result.code == 2
        assert "No space left" in result.err
        assert out.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.png"]
