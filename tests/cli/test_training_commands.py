"""The commands that train, on tiny data."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("tensorflow")

TINY = (
    "--epochs", "2", "--batch-size", "20", "--latent-dim", "3", "--validation", "40",
    "--width", "0.125",
)  # fmt: skip


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
    assert "360 images" in result.out
    assert "likelihood gaussian, 2 epochs, on 360 images, pixels as they are" in result.out
    assert "PSNR" in result.out
    assert f"cvae-edge export {tmp_path / 'run'}" in result.out.replace("\n", "")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"] == 2
    assert "epoch 2 of 2" in result.err.replace("\n", " ")


def test_evaluate_prints_one_json_document(run_cli, tiny_run):
    result = run_cli("evaluate", tiny_run, "--samples", "5", "--json")
    document = json.loads(result.out)
    assert document["images"] == 100
    assert document["samples"] == 5
    assert document["iwae"] > document["elbo"]


def test_evaluate_prints_a_table_for_people(run_cli, tiny_run):
    result = run_cli("evaluate", tiny_run, "--samples", "3")
    assert "IWAE-3" in result.out
    assert "±" in result.out


def test_resume_without_options_takes_the_runs_own(run_cli, tiny_run):
    result = run_cli("train", "--resume", "--out", tiny_run)
    assert result.code == 0
    assert "360 images" in result.out


def test_ctrl_c_saves_says_how_to_resume_and_exits_130(tiny_npz, tmp_path):
    folder = tmp_path / "long"
    command = [sys.executable, "-m", "cvae_edge", "train", "--data", tiny_npz, *TINY]
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "--out", folder], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/*.index")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Continue with: cvae-edge train --resume --out {folder}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--latent-dim", "0"), "latent_dim must be an integer of at least 1, got 0"),
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--batch-size", "1000"), "must not be above the 360 training images"),
        (("--data", "nowhere.npz"), "got 'nowhere.npz', which is not there"),
        (("--recipe", "slow"), "recipe must be one of seed, fast, general, got 'slow'"),
        (("--preset", "large"), "preset must be one of seed, general, got 'large'"),
        (("--image-size", "big"), "--image-size must be like 64 or 64x48"),
        (("--likelihood", "poisson"), "likelihood must be one of bernoulli, gaussian, logistic"),
        (("--likelihood", "gaussian", "--binarize", "threshold"), "which --binarize none keeps"),
        (("--background", "white"), "background must be a colour such as #ffffff"),
        (("--fit", "squeeze"), "fit must be one of stretch, crop, pad"),
        (("--model", "own.py:f"), "give --model, or --preset and --width, got both"),
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


@pytest.mark.filterwarnings("always::cvae_edge.errors.DataWarning")
def test_a_broken_image_is_named_in_one_line(run_cli, tmp_path):
    from PIL import Image

    for i in range(60):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run_cli(
        "train", "--data", tmp_path, *TINY[:6], "--width", "0.1", "--out", tmp_path / "run"
    )
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


OWN = """
import keras
from keras import layers


def pair(image_shape, latent_dim):
    x, z = keras.Input(image_shape), keras.Input((latent_dim,))
    h = layers.Flatten()(layers.Conv2D(4, 3, 2, "same", activation="silu")(x))
    h = layers.Dropout(0.1)(h)
    image = layers.Reshape((4, 4, 4))(layers.Dense(64, activation="relu")(z))
    image = layers.Conv2DTranspose(image_shape[2], 4, 2, "same", activation="sigmoid")(image)
    return keras.Model(x, layers.Dense(2 * latent_dim)(h)), keras.Model(z, image)


def one(image_shape, latent_dim):
    return pair(image_shape, latent_dim)[0]


def broken(image_shape, latent_dim):
    raise KeyError("width")
"""


def test_networks_of_ones_own_are_trained_and_exported_like_a_preset(run_cli, tiny_npz, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    options = [o for o in TINY if o not in ("--width", "0.125")]
    result = run_cli("train", "--data", tiny_npz, *options, "--model", tmp_path / "own.py:pair",
                     "--out", tmp_path / "run")  # fmt: skip
    assert result.code == 0, result.err
    assert "Training own networks for 8x8x1 images, 3 latents" in result.out
    (tmp_path / "own.py").unlink()  # what follows needs it no more
    assert run_cli("train", "--resume", "--out", tmp_path / "run").code == 0
    exported = run_cli("export", tmp_path / "run", "--quantize", "int8", "--no-fused",
                       "--out", tmp_path / "bundle")  # fmt: skip
    assert exported.code == 0, exported.err
    assert run_cli("verify", tmp_path / "bundle").code == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own.py:one", "must return an encoder and a decoder, Keras models, got Functional"),
        ("own.py:broken", "it raised: KeyError: 'width'"),
        ("own.py:missing", "has no attribute 'missing'"),
        ("nowhere.py:pair", "--model must be FILE.py:FUNCTION, and the file there"),
        ("own.py", "--model must be FILE.py:FUNCTION"),
    ],
)
def test_a_model_function_that_gives_no_pair_is_one_sentence_and_leaves_nothing(
    run_cli, tiny_npz, tmp_path, monkeypatch, model, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    result = run_cli("train", "--data", tiny_npz, "--model", model, "--out", "run")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()
