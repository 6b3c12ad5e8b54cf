import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import MNIST_IDX, blobs
from PIL import Image

from cvae_edge.config import DataConfig
from cvae_edge.errors import (
    ConfigError,
    DataError,
    DataWarning,
    RunError,
    RunWarning,
    TrainingError,
)
from cvae_edge.training import loop
from cvae_edge.training.evaluate import evaluate_run, load_run_data, trained_codec
from cvae_edge.training.launch import Stopped, train
from cvae_edge.training.run import Run
from cvae_edge.training.step import make_step

SCRIPT = Path(__file__).with_name("train_script.py")


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "finished", tiny_config)


def checkpoint_values(run):
    """Every value in the last checkpoint, the optimizer's included, but the clock and the saves."""
    reader = tf.train.load_checkpoint(str(run.checkpoints))
    other = ("seconds/", "save_counter/", "_CHECKPOINT")
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith(other)]
    return {n: np.asarray(reader.get_tensor(n)) for n in names}


def assert_same_training(run, other):
    values, expected = checkpoint_values(run), checkpoint_values(other)
    assert values.keys() == expected.keys()
    assert len([n for n in values if "optimizer" in n]) > 2 * 12  # two moments a weight
    differing = [n for n in values if values[n].tobytes() != expected[n].tobytes()]
    assert differing == []
    (best, scale), (expected_best, expected_scale) = run.read_weights(), other.read_weights()
    assert scale == expected_scale
    assert all(best[n].tobytes() == expected_best[n].tobytes() for n in expected_best)
    clocks = {"seconds"}
    assert [{k: v for k, v in r.items() if k not in clocks} for r in run.history()] == [
        {k: v for k, v in r.items() if k not in clocks} for r in other.history()
    ]


def start(config, folder, *options, **environment):
    return subprocess.Popen(
        [sys.executable, SCRIPT, json.dumps(config.to_dict()), folder, *map(str, options)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_training_learns_and_leaves_what_the_run_folder_promises(finished):
    history = finished.history()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["validation_elbo"] > history[0]["validation_elbo"] + 1
    validated = [row["validation_elbo"] for row in history]
    assert finished.summary["validation_elbo"] == max(validated)
    assert finished.summary["best_epoch"] == 1 + validated.index(max(validated))
    assert finished.summary["epochs"] == 3
    assert len(list(finished.checkpoints.glob("*.index"))) == 2  # the last, and the one before
    assert finished.summary["train_images"] == 360
    for name in ("training-curve.png", "reconstructions.png"):
        with Image.open(finished.folder / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    assert not list(finished.folder.glob("*.partial*"))


def test_the_summarys_test_elbo_is_that_of_the_saved_weights(finished):
    assert evaluate_run(finished).elbo == pytest.approx(finished.summary["test_elbo"])


def test_two_runs_with_one_seed_are_equal_to_the_bit(finished, tiny_config, tmp_path):
    assert_same_training(train(tmp_path / "again", tiny_config), finished)


def test_a_run_killed_in_an_epoch_ends_as_if_it_was_not(finished, tiny_config, tmp_path):
    process = start(tiny_config, tmp_path / "killed", "--kill-at", 29)  # in the second epoch of 18
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    run = Run.open(tmp_path / "killed")
    assert run.summary is None
    with pytest.warns(RunWarning, match=r"unfinished, 1 of 3 epochs, and its best weights so far"):
        run.vae()
    assert_same_training(train(tmp_path / "killed", tiny_config, resume=True), finished)


@pytest.mark.parametrize(
    ("number", "step", "epochs"),
    [(signal.SIGINT, 29, 1), (signal.SIGTERM, 36, 2)],  # in an epoch of 18 steps, and its last
)
def test_a_run_that_a_signal_stops_saves_its_step_and_goes_on(
    finished, tiny_config, tmp_path, number, step, epochs
):
    steps = []

    def ask_for_an_end(progress):
        steps.append(progress.step)
        if progress.step == step:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped) as stopped:
        train(tmp_path / "stopped", tiny_config, on_progress=ask_for_an_end)
    assert stopped.value.signal == number
    assert steps == [*range(1, step + 1)]
    run = Run.open(tmp_path / "stopped")
    assert len(run.history()) == epochs
    reader = tf.train.load_checkpoint(str(run.checkpoints))
    assert reader.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE") == step
    assert_same_training(train(run.folder, tiny_config, resume=True), finished)


def test_resuming_a_finished_run_changes_nothing(finished, tiny_config):
    before = {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*")}
    train(finished.folder, tiny_config, resume=True)
    assert {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*")} == before


def test_resuming_with_another_model_names_what_differs(finished, tiny_config):
    other = dataclasses.replace(
        tiny_config, model=dataclasses.replace(tiny_config.model, latent_dim=5)
    )
    with pytest.raises(RunError, match="latent_dim is 3 there and 5 here"):
        train(finished.folder, other, resume=True)
    assert Run.open(finished.folder).config == tiny_config


def test_a_finished_run_is_trained_on_and_a_break_then_changes_nothing(
    finished, tiny_config, tmp_path
):
    longer = dataclasses.replace(
        tiny_config, train=dataclasses.replace(tiny_config.train, epochs=4)
    )
    for name in ("whole", "killed"):
        shutil.copytree(finished.folder, tmp_path / name)
    whole = train(tmp_path / "whole", longer, resume=True)
    assert whole.summary["epochs"] == Run.open(whole.folder).config.train.epochs == 4
    assert whole.history()[:3] == finished.history()
    assert whole.history()[3]["step"] == 72

    def break_off(progress):
        if progress.step == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", longer, resume=True, on_progress=break_off)
    assert Run.open(tmp_path / "killed").summary is None
    assert_same_training(train(tmp_path / "killed", longer, resume=True), whole)
    shorter = dataclasses.replace(
        tiny_config, train=dataclasses.replace(tiny_config.train, epochs=2)
    )
    with pytest.raises(RunError, match="epochs is 4 there and 2 here"):
        train(whole.folder, shorter, resume=True)


def test_data_that_changed_is_refused_and_named_and_data_that_moved_is_not(tiny_config, tmp_path):
    for i, image in enumerate(blobs(60)[..., 0]):
        path = tmp_path / "photos" / "good" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    data = dataclasses.replace(
        tiny_config.data, source=str(tmp_path / "photos"), channels=1, validation=4
    )
    config = dataclasses.replace(tiny_config, data=data)
    run = train(tmp_path / "run", config)
    moved = dataclasses.replace(data, source=str(tmp_path / "moved"))
    (tmp_path / "photos").rename(tmp_path / "moved")
    wanted = dataclasses.replace(config, data=moved)
    assert train(run.folder, wanted, resume=True).summary == run.summary
    place = tmp_path / "moved" / "good"
    (place / "7.png").unlink()
    Image.fromarray(blobs(1)[0, ..., 0]).save(place / "8.png")
    Image.fromarray(blobs(1)[0, ..., 0]).save(place / "new.png")
    changes = r"good/7.png is gone, good/8.png was changed, good/new.png is new: restore it"
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")}
    with pytest.raises(RunError, match=changes):
        train(run.folder, wanted, resume=True)
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before
    with pytest.warns(DataWarning, match=r"no longer what .* was trained on: good/7.png is gone"):
        load_run_data(run, str(tmp_path / "moved"))
    (run.folder / "data.json").unlink()  # as a run that recorded nothing
    (tmp_path / "moved").rename(tmp_path / "photos")
    assert train(run.folder, dataclasses.replace(config, data=data), resume=True)


HOLDS = """
import sys, time
from pathlib import Path
from cvae_edge.training.run_folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_training_into_a_folder_is_refused_while_one_is_there(
    finished, tiny_config, tmp_path
):
    shutil.copytree(finished.folder, tmp_path / "begun")
    (tmp_path / "begun" / "summary.json").unlink()
    for name, resume in (("begun", True), ("new", False)):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, tmp_path / name], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="is being written by another process"):
            train(tmp_path / name, tiny_config, resume=resume)
        process.kill()
        process.wait()
        process.stdout.close()
    assert train(tmp_path / "begun", tiny_config, resume=True).summary  # the lock ended with it


def test_a_start_that_failed_is_swept_up_by_the_next(finished, tiny_config, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(tf.train.CheckpointManager, "save", full)
        with pytest.raises(OSError, match="No space left"):
            train(folder, tiny_config)
    assert not folder.exists()
    folder.mkdir()  # as a kill would have left it
    (folder / "checkpoints").mkdir()
    for name in ("run.lock", "architecture.json", ".config.json.partial", "checkpoints/ckpt-0.x"):
        (folder / name).touch()
    with pytest.raises(RunError, match="is no run folder"):
        train(folder, tiny_config, resume=True)
    assert_same_training(train(folder, tiny_config), finished)
    assert {p.name for p in folder.iterdir()} == {p.name for p in finished.folder.iterdir()}
    assert not list(folder.glob(".*"))
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {
        p.name for p in finished.checkpoints.iterdir()
    }


def test_a_run_inside_of_its_images_is_refused(tiny_config, tmp_path):
    for i, image in enumerate(blobs(60)[..., 0]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    data = dataclasses.replace(tiny_config.data, source=str(tmp_path), channels=1, validation=4)
    with pytest.raises(DataError, match="pictures would become data"):
        train(tmp_path / "runs" / "mine", dataclasses.replace(tiny_config, data=data))


def test_a_damaged_checkpoint_is_named(finished, tiny_config, tmp_path):
    run = train(tmp_path / "run", tiny_config)
    (run.folder / "summary.json").unlink()
    for path in run.checkpoints.glob("*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="checkpoints is damaged"):
        train(run.folder, tiny_config, resume=True)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"nonsense", b'model_checkpoint_path: "\xff"']
)
def test_a_damaged_list_of_checkpoints_is_named_and_nothing_begins_anew(
    finished, tiny_config, tmp_path, content
):
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "checkpoints" / "checkpoint").write_bytes(content)
    before = (tmp_path / "run" / "history.csv").read_bytes()
    with pytest.raises(RunError, match="checkpoints is damaged"):
        train(tmp_path / "run", tiny_config, resume=True)
    assert (tmp_path / "run" / "history.csv").read_bytes() == before


def test_divergence_stops_with_epoch_and_step_and_keeps_the_weights(tiny_config, tmp_path):
    wild = dataclasses.replace(tiny_config.train, learning_rate=1e12)
    with pytest.raises(TrainingError, match=r"epoch 1, step \d+: try a lower --learning-rate than"):
        train(tmp_path / "wild", dataclasses.replace(tiny_config, train=wild))
    assert not (tmp_path / "wild" / "best.weights.npz").exists()


def test_weights_broken_by_an_epochs_last_step_are_not_kept(tiny_config, tmp_path, monkeypatch):
    """Without validation images nothing but the weights themselves tells."""

    def break_weights(*arguments):
        step = make_step(*arguments)
        vae, config = arguments[0], arguments[3]

        def broken_step(images, number):
            result = step(images, number)
            if number == 2 * (400 // config.batch_size) - 1:
                vae.variables[0].assign(np.full(vae.variables[0].shape, np.nan))
            return result

        return broken_step

    monkeypatch.setattr(loop, "make_step", break_weights)
    config = dataclasses.replace(
        tiny_config,
        data=dataclasses.replace(tiny_config.data, validation=0),
        train=dataclasses.replace(tiny_config.train, average_epochs=0.0),
    )
    with pytest.raises(TrainingError, match="in epoch 2, step 40"):
        train(tmp_path / "run", config)
    run = Run.open(tmp_path / "run")
    assert np.isfinite(kept_bias(run)).all()
    assert [row["epoch"] for row in run.history()] == [1]


def test_without_validation_images_all_are_trained_on_and_the_last_weights_kept(
    tiny_config, tmp_path
):
    data = dataclasses.replace(tiny_config.data, validation=0)
    run = train(tmp_path / "all", dataclasses.replace(tiny_config, data=data))
    assert run.summary["train_images"] == 400
    assert run.summary["validation_elbo"] is None
    assert any(np.array_equal(kept_bias(run), v) for v in checkpoint_values(run).values())


def test_an_epoch_takes_every_image_once_in_its_own_order_and_tells_its_means(
    tiny_config, tmp_path, monkeypatch
):
    taken, results, told = [], [], []

    def record_steps(*arguments):
        step = make_step(*arguments)

        def recorded(images, number):
            taken.append(images)
            results.append(step(images, number))
            return results[-1]

        return recorded

    monkeypatch.setattr(loop, "make_step", record_steps)
    recipe = dataclasses.replace(tiny_config.train, epochs=2, batch_size=90)
    started = time.monotonic()
    run = train(
        tmp_path / "run",
        dataclasses.replace(tiny_config, train=recipe),
        on_progress=told.append,
    )
    elapsed = time.monotonic() - started
    assert 0 < sum(row["seconds"] for row in run.history()) < elapsed + 0.01  # each is rounded
    assert run.summary["seconds"] == pytest.approx(
        sum(row["seconds"] for row in run.history()), abs=0.051
    )
    first, second = (
        [image.tobytes() for batch in taken[i : i + 4] for image in batch] for i in (0, 4)
    )
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 360
    assert first != second
    assert [(p.epoch, p.epochs, p.step, p.steps) for p in told] == [
        (1 + i // 4, 2, i + 1, 8) for i in range(8)
    ]
    for i, progress in enumerate(told):
        _, log_px, kl = np.mean(results[i // 4 * 4 : i + 1], axis=0, dtype=np.float64)
        assert progress.train_elbo == pytest.approx(log_px - kl)
    for i, row in enumerate(run.history()):
        _, log_px, kl = np.mean(results[4 * i : 4 * i + 4], axis=0, dtype=np.float64)
        assert row["train_reconstruction"] == pytest.approx(log_px)
        assert row["train_kl"] == pytest.approx(kl)
        assert row["train_elbo"] == pytest.approx(log_px - kl)


def kept_bias(run):
    return run.read_weights()[0]["decoder/grid/bias"]


def test_the_moving_average_is_kept_and_not_the_weights_themselves(tiny_config, tmp_path):
    """A reach of two steps over two epochs of one step, against the average written out."""

    def trained(epochs, average_epochs):
        config = dataclasses.replace(
            tiny_config,
            data=dataclasses.replace(tiny_config.data, validation=0),
            train=dataclasses.replace(
                tiny_config.train, epochs=epochs, batch_size=400, average_epochs=average_epochs
            ),
        )
        return train(tmp_path / f"{epochs} {average_epochs}", config)

    first, second = kept_bias(trained(1, 0.0)), kept_bias(trained(2, 0.0))
    averaged = trained(2, 2.0)
    np.testing.assert_allclose(kept_bias(averaged), (first + second) / 2, rtol=1e-5)
    assert not np.allclose(first, second)
    # what goes on from the checkpoint are the weights themselves
    assert any(np.array_equal(second, value) for value in checkpoint_values(averaged).values())


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("train", {"batch_size": 361}, "must not be above the 360 training images"),
        ("model", {"image_shape": (12, 12, 1)}, r"takes images of \(12, 12, 1\), got \(8, 8, 1\)"),
    ],
)
def test_settings_the_data_cannot_serve_leave_no_folder(
    tiny_config, tmp_path, part, change, message
):
    changed = dataclasses.replace(getattr(tiny_config, part), **change)
    with pytest.raises(ConfigError, match=message):
        train(tmp_path / "run", dataclasses.replace(tiny_config, **{part: changed}))
    assert not (tmp_path / "run").exists()


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_two_workers_stay_in_step_and_do_what_one_does(tiny_config, tmp_path):
    config = dataclasses.replace(
        tiny_config, train=dataclasses.replace(tiny_config.train, epochs=2)
    )
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = [
        start(
            config,
            tmp_path / "two",
            "--strategy",
            "multiworker",
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            ),
        )
        for index in range(2)
    ]
    printed = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed[0] == printed[1]  # every step's loss, to the last digit, follows the weights
    seen = {}

    def remember(progress):
        seen[progress.step] = progress.train_elbo

    alone = train(tmp_path / "one", config, on_progress=remember)
    got = {int(step): float(elbo) for step, elbo in map(str.split, printed[0].splitlines())}
    assert len(got) == 36
    for step in range(1, 21):
        assert got[step] == pytest.approx(seen[step], rel=1e-4)
    two, one = Run.open(tmp_path / "two"), alone
    assert two.summary["test_elbo"] == pytest.approx(one.summary["test_elbo"], rel=1e-3)


def test_grey_images_are_binarized_by_chance_and_the_codec_takes_any_batch(finished, tiny_config):
    assert finished.summary["binarize"] == "draw"
    codec = trained_codec(finished.vae())
    x = (blobs(5) / 255).astype(np.float32)
    mean, _ = codec.encode(x)
    single = np.concatenate([codec.encode(image[np.newaxis])[0] for image in x])
    np.testing.assert_allclose(mean, single, atol=1e-5)
    assert codec.decode(mean).shape == x.shape == (5, *tiny_config.model.image_shape)


@pytest.mark.skipif(not MNIST_IDX.is_dir(), reason=f"no grey MNIST at {MNIST_IDX}")
def test_grey_mnist_thresholded_is_the_packaged_mnist():
    from cvae_edge.datasets import load_dataset
    from cvae_edge.preprocess import draw_binary

    grey = load_dataset(DataConfig(str(MNIST_IDX), binarize="threshold"))
    packaged = load_dataset(DataConfig("mnist"))
    for part in ("train", "validation", "test"):
        images, expected = getattr(grey, part), getattr(packaged, part)
        assert np.array_equal(
            draw_binary(images.images, "threshold", 0), draw_binary(expected.images, "none", 0)
        )
        assert np.array_equal(images.labels, expected.labels)
