"""The commands that train, on tiny data."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import blobs

pytest.importorskip("tensorflow")

SMALL = ("--epochs", "2", "--batch-size", "20", "--latent-dim", "3")
TINY = (*SMALL, "--prior", "standard", "--width", "0.125", "--validation", "40")
OWN = """
import keras

def pair(image_shape, latent_dim):
    x, z = keras.Input(image_shape), keras.Input((latent_dim,))
    h = keras.layers.Dropout(0.2)(keras.layers.Flatten()(x))
    size = image_shape[0] * image_shape[1] * image_shape[2]
    image = keras.layers.Reshape(image_shape)(keras.layers.Dense(size, activation="sigmoid")(z))
    both = [keras.layers.Dense(latent_dim)(h) for _ in range(2)]
    return keras.Model(x, both), keras.Model(z, image)

def raises(image_shape, latent_dim):
    raise KeyError("no such layer")

def one(image_shape, latent_dim):
    return pair(image_shape, latent_dim)[0]

def none(image_shape, latent_dim):
    return None

def small(image_shape, latent_dim):
    return pair((4, 4, 1), latent_dim)

class Mine(keras.layers.Layer):
    def call(self, x):
        return x

def unknown(image_shape, latent_dim):
    encoder, decoder = pair(image_shape, latent_dim)
    x = keras.Input(image_shape)
    return keras.Model(x, encoder(Mine()(x))), decoder
"""


@pytest.fixture(scope="module")
def tiny_run(tiny_npz, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "tiny"
    subprocess.run(
        [sys.executable, "-m", "cvae_edge", "train", "--data", tiny_npz, *TINY, "--out", folder],
        check=True,
        capture_output=True,
    )
    return folder


def test_train_makes_a_finished_run_and_says_what_is_next(run_cli, tiny_npz, tmp_path):
    result = run_cli("train", "--data", tiny_npz, *TINY, "--out", tmp_path / "run")
    assert result.code == 0
    assert re.search("trained on +360 images", result.out)
    assert "PSNR" in result.out
    assert f"cvae-edge export {tmp_path / 'run'}" in result.out.replace("\n", "")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"] == 2
    (begins,) = [line for line in result.err.splitlines() if line.startswith("Training")]
    assert re.fullmatch(
        r"Training preset general \([0-9,]+ parameters, 3 latents\) on 360 images of 8x8x1 for 2 "
        r"epochs in batches of 20; likelihood gaussian, which grey or colour pixels take by "
        r"default, in nats \(density\) per image.",
        begins,
    )
    assert "epoch 2 of 2" in result.err
    assert "nats (density)" in result.err


def test_logistic_states_bits_per_dimension(run_cli, tiny_npz, tmp_path):
    folder = tmp_path / "run"
    options = ("--likelihood", "logistic", "--channels", "3", "--out", folder)
    result = run_cli("train", "--data", tiny_npz, *TINY, *options)
    assert result.code == 0
    assert "likelihood logistic, as asked, on grey or colour pixels, in nats per" in result.err
    assert re.search(r"test bits per dimension +\d", result.out)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["likelihood"] == "logistic"
    expected = -summary["test_elbo"] / (8 * 8 * 3 * np.log(2))
    assert summary["test_bits_per_dim"] == pytest.approx(expected)
    with np.load(folder / "best.weights.npz") as weights:
        assert weights["likelihood/scale"].shape == (3,)


def test_bernoulli_on_grey_pixels_must_be_asked_for_and_is_labelled(run_cli, tiny_npz, tmp_path):
    options = ("--likelihood", "bernoulli", "--out", tmp_path / "run")
    result = run_cli("train", "--data", tiny_npz, *TINY, *options)
    assert result.code == 0
    assert "nats (no log-likelihood: pixels are not binary)" in result.err
    result = run_cli("evaluate", tmp_path / "run", "--json")
    assert "no log-likelihood" in json.loads(result.out)["unit"]


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_networks_of_ones_own_are_trained_and_evaluated_without_their_file(
    run_cli, tiny_npz, tmp_path, own_file
):
    options = ("--model", f"{own_file}:pair", "--validation", "40", "--out")
    results = [
        run_cli("train", "--data", tiny_npz, *SMALL, *options, tmp_path / name) for name in "ab"
    ]
    assert [result.code for result in results] == [0, 0]
    assert "Training networks of your own (" in results[0].err
    own_file.unlink()
    elbos = {
        json.loads(run_cli("evaluate", tmp_path / name, "--json").out)["elbo"] for name in "ab"
    }
    exported = run_cli(
        "export", tmp_path / "a", "--quantize", "int8", "--no-fused", "--out", tmp_path / "bundle",
        "--tune-epochs", 0, "--calibration-samples", 50,
    )  # fmt: skip
    assert exported.code == 0, exported.err
    assert run_cli("verify", tmp_path / "bundle").code == 0
    assert len(elbos) == 1  # the seed of the training is that of the first weights
    result = run_cli("train", "--resume", "--out", tmp_path / "a")
    assert result.code == 0
    result = run_cli("train", "--resume", "--model", "mine.py:pair", "--out", tmp_path / "a")
    assert result.code == 2
    assert "leave out --model" in result.err


@pytest.mark.parametrize("where", ["nowhere.py:pair", "mine.py"])
def test_a_function_that_is_not_there_is_one_sentence(run_cli, tiny_npz, tmp_path, where):
    result = run_cli("train", "--data", tiny_npz, "--model", where, "--out", tmp_path / "run")
    assert result.code == 2
    assert "--model must be FILE.py:FUNCTION, and the file there" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "it raised: KeyError: 'no such layer'"),
        ("none", "must return an encoder and a decoder, Keras models, got NoneType"),
        ("small", r"must take images of (8, 8, 1), got (4, 4, 1)"),
        ("one", "must return an encoder and a decoder, Keras models, got Functional"),
        ("absent", "has no attribute 'absent'"),
        ("unknown", "ould not locate class 'Mine'"),
    ],
)
def test_a_bad_function_of_ones_own_is_one_sentence_and_nothing_is_written(
    run_cli, tiny_npz, tmp_path, own_file, function, message
):
    options = ("--model", f"{own_file}:{function}", "--out", tmp_path / "run")
    result = run_cli("train", "--data", tiny_npz, *SMALL, *options)
    assert result.code == 2
    (line,) = [line for line in result.err.splitlines() if line.startswith("cvae-edge: ")]
    assert message in line
    assert not (tmp_path / "run").exists()


def test_evaluate_prints_one_json_document(run_cli, tiny_run):
    result = run_cli("evaluate", tiny_run, "--samples", "5", "--json")
    document = json.loads(result.out)
    assert document["images"] == 100
    assert document["samples"] == 5
    assert document["iwae"] > document["elbo"]
    assert (document["unit"], document["likelihood"]) == ("nats (density)", "gaussian")
    assert document["psnr"] > 5
    assert document["bits_per_dim"] is None


def test_evaluate_prints_a_table_for_people(run_cli, tiny_run):
    result = run_cli("evaluate", tiny_run, "--samples", "3")
    assert "IWAE-3" in result.out
    assert "nats (density) per image" in result.out
    assert "PSNR" in result.out
    assert "±" in result.out


def test_resume_without_options_takes_the_runs_own(run_cli, tiny_run):
    result = run_cli("train", "--resume", "--out", tiny_run)
    assert result.code == 0
    assert re.search("trained on +360 images", result.out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.filterwarnings("always::cvae_edge.errors.RunWarning")
def test_a_stopped_run_says_how_to_resume_and_can_be_used(
    run_cli, tiny_npz, tmp_path, number, code
):
    folder = tmp_path / "long"
    command = [sys.executable, "-m", "cvae_edge", "train", "--data", tiny_npz, *TINY]
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "--out", folder], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("epoch 1 of"):
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert f"Continue with: cvae-edge train --resume --out {folder}" in err
    assert "Traceback" not in err
    if number == signal.SIGINT:
        result = run_cli("evaluate", folder, "--json")
        assert result.code == 0
        assert re.search(r"warning: .* is unfinished, \d+ of 100000 epochs, and its b", result.err)


def test_a_changed_data_set_is_not_trained_on_further(run_cli, tmp_path):
    """Fewer images make fewer steps an epoch, so that the run would look finished."""
    data = tmp_path / "data.npz"
    np.savez(data, x=blobs(400))
    options = ("--data", data, *TINY, "--out", tmp_path / "run")
    assert run_cli("train", *options).code == 0
    (tmp_path / "run" / "summary.json").unlink()
    np.savez(data, x=blobs(120))
    result = run_cli("train", "--resume", "--out", tmp_path / "run")
    assert result.code == 2
    assert f"but in {data} the file was changed: restore it, or name it with --data" in result.err


def test_data_named_from_the_working_folder_is_found_from_another(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=blobs(60))
    options = ("--data", "data.npz", *SMALL, "--width", "0.125", "--out", "run")
    assert run_cli("train", *options).code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run = tmp_path / "run"
    result = run_cli("evaluate", run, "--json")
    assert result.code == 0, result.err
    more = run_cli("train", "--resume", "--epochs", 3, "--out", run)
    assert more.code == 0, more.err
    assert re.search("epochs +3, best", more.out)
    (tmp_path / "data.npz").rename(elsewhere / "moved.npz")
    assert "got 'data.npz', which is not there" in run_cli("evaluate", run).err
    result = run_cli("evaluate", run, "--data", "moved.npz", "--json")
    assert result.code == 0, result.err


def test_resume_needs_a_run(run_cli, tiny_npz, tmp_path):
    options = ("--data", tiny_npz, *TINY, "--out", tmp_path / "typo")
    result = run_cli("train", "--resume", *options)
    assert result.code == 2
    assert f"{tmp_path / 'typo'} is no run folder: it has no config.json" in result.err
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--latent-dim", "0"), "latent_dim must be an integer of at least 1, got 0"),
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--batch-size", "1000"), "must not be above the 360 training images"),
        (("--data", "nowhere.npz"), "got 'nowhere.npz', which is not there"),
        (("--recipe", "slow"), "recipe must be one of seed, fast, general, got 'slow'"),
        (("--preset", "large"), "preset must be one of seed, general, got 'large'"),
        (("--likelihood", "poisson"), "one of bernoulli, gaussian, logistic, got 'poisson'"),
        (
            ("--likelihood", "gaussian", "--binarize", "draw"),
            "gaussian is one of grey or colour pixels, which --binarize none keeps, got --binarize",
        ),
        (("--binarize", "static"), "binarize must be one of none, threshold, draw, got 'static'"),
        (("--fit", "zoom"), "fit must be one of stretch, crop, pad, got 'zoom'"),
        (("--background", "white"), "background must be a colour such as #ffffff, got 'white'"),
        (("--channels", "5"), "images must have 1 to 4 channels, got 5"),
        (("--width", "0"), "width must be above 0"),
        (("--model", "own.py:f"), "give --model, or --preset and --width, got both"),
        (("--image-size", "big"), "--image-size must be like 64 or 64x48"),
        (("--strategy", "all"), "strategy must be default, mirrored or multiworker, got 'all'"),
        (("--learning-rate", "1e12"), "the loss became NaN or infinite in epoch 1, step"),
        (("--resume", "--out", "."), "is no run folder: it has no config.json"),
    ],
)
def test_bad_input_to_train_is_one_sentence_and_exit_2(
    run_cli, tiny_npz, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    result = run_cli("train", "--data", tiny_npz, *TINY, "--out", "run", *options)
    assert result.code == 2
    (line,) = [line for line in result.err.splitlines() if line.startswith("cvae-edge: ")]
    assert message in line
    assert "Traceback" not in result.err
    if "NaN" not in message:
        assert not (tmp_path / "run").exists()


def test_train_refuses_a_folder_that_is_not_its_own(run_cli, tiny_npz, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    result = run_cli("train", "--data", tiny_npz, *TINY, "--out", tmp_path)
    assert result.code == 2
    assert "exists and is no run folder" in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_train_does_not_overwrite_a_run(run_cli, tiny_npz, tiny_run):
    before = (tiny_run / "best.weights.npz").read_bytes()
    result = run_cli("train", "--data", tiny_npz, *TINY, "--out", tiny_run)
    assert result.code == 2
    assert "continue it with --resume, or choose another --out" in result.err
    assert (tiny_run / "best.weights.npz").read_bytes() == before


def test_resume_with_another_model_is_refused(run_cli, tiny_run):
    result = run_cli("train", "--resume", "--out", tiny_run, "--latent-dim", "7")
    assert result.code == 2
    assert "latent_dim is 3 there and 7 here" in result.err


def test_a_full_disk_is_one_sentence(tiny_npz, tmp_path):
    """A limit on the size of files stands for the disk: writing fails the same way."""
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        f"sys.argv = ['cvae-edge', 'train', '--data', {str(tiny_npz)!r}, *{TINY!r},"
        f" '--out', {str(tmp_path / 'run')!r}]\n"
        "from cvae_edge.cli import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 2
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()  # so that the next training may have its place


@pytest.mark.filterwarnings("always::cvae_edge.errors.DataWarning")
def test_a_broken_image_is_named_in_one_line(run_cli, tmp_path):
    from PIL import Image

    data = tmp_path / "data"
    data.mkdir()
    for i in range(60):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(data / f"{i}.png")
    (data / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run_cli("train", "--data", data, *TINY[:-2], "--out", tmp_path / "run")
    assert result.code == 0
    warnings = [line for line in result.err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "torn.png" in warnings[0]


def test_a_missing_extra_is_named(tiny_npz, tmp_path):
    blocked = "import sys; sys.modules['tensorflow'] = None; sys.argv[0] = 'cvae-edge'\n"
    result = subprocess.run(
        [sys.executable, "-c", f"{blocked}from cvae_edge.cli import main; main()", "train"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert result.returncode == 2
    assert result.stderr.startswith("cvae-edge: this command needs tensorflow")
    assert "pip install 'cvae-edge[train]'" in result.stderr


def test_a_finished_run_gets_a_prior_and_is_evaluated_with_either(run_cli, tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    assert run_cli("evaluate", tmp_path / "run", "--prior", "flow").code == 2
    result = run_cli("prior", tmp_path / "run")
    assert result.code == 0, result.err
    assert "with the standard prior" in result.out
    found = {
        prior: json.loads(run_cli("evaluate", tmp_path / "run", "--json", "--prior", prior).out)
        for prior in ("flow", "auto", "standard")
    }
    assert found["flow"] == found["auto"]
    gain = found["flow"]["prior_gain"]
    assert found["flow"]["elbo"] - gain == pytest.approx(found["standard"]["elbo"], abs=1e-4)
    assert found["standard"]["prior_gain"] is None
    none = run_cli("prior", tmp_path / "run", "--epochs", 0)
    assert (none.code, none.err) == (2, "cvae-edge: epochs must be at least 1, got 0\n")
    missing = run_cli("prior", tmp_path / "elsewhere")
    assert missing.code == 2
    assert "is no run folder" in missing.err
