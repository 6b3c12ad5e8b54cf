"""A prior is fitted to training images' latents, chosen by validation images, and kept."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal

import numpy as np
import pytest

from cvae_edge.codec import Codec
from cvae_edge.config import TrainConfig
from cvae_edge.datasets.dataset import Dataset, Split
from cvae_edge.errors import ConfigError, RunError
from cvae_edge.preprocess import Pixels
from cvae_edge.training.add_prior import add_prior
from cvae_edge.training.evaluate import evaluate_run, load_run_data
from cvae_edge.training.launch import train
from cvae_edge.training.loop import Stopped
from cvae_edge.training.prior import Interrupted, fit_prior
from cvae_edge.training.run import Run


@pytest.fixture(scope="module")
def config(tiny_config):
    return dataclasses.replace(
        tiny_config, train=dataclasses.replace(tiny_config.train, prior="flow")
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "flow", config)


@pytest.fixture(scope="module")
def standard(finished, tmp_path_factory):
    """The same run without its prior."""
    folder = tmp_path_factory.mktemp("runs") / "standard"
    shutil.copytree(finished.folder, folder)
    run = Run.open(folder)
    run.save_weights(*run.read_weights())
    summary = dict(finished.summary)
    summary["test_elbo"] = summary.pop("test_elbo_standard_prior")
    del summary["prior"]
    run.finish(summary)
    return run


def assert_same_weights(run, other):
    weights, expected = run.flow().weights, other.flow().weights
    assert weights.keys() == expected.keys()
    assert all(weights[name].tobytes() == expected[name].tobytes() for name in expected)
    networks, of_other = run.read_weights()[0], other.read_weights()[0]
    assert all(networks[name].tobytes() == of_other[name].tobytes() for name in of_other)


def test_the_summary_states_the_elbo_with_both_priors(finished, standard):
    summary = finished.summary
    gain = summary["test_elbo"] - summary["test_elbo_standard_prior"]
    assert gain != 0  # two epochs leave little to gain
    flow, without = (evaluate_run(finished, prior=prior) for prior in ("auto", "standard"))
    assert flow.elbo == pytest.approx(summary["test_elbo"])
    assert flow.prior_gain == pytest.approx(gain, abs=1e-6)
    assert without.elbo == pytest.approx(summary["test_elbo_standard_prior"], abs=1e-4)
    assert flow.elbo - flow.prior_gain == pytest.approx(without.elbo, abs=1e-4)
    assert flow.kl == pytest.approx(without.kl - flow.prior_gain, abs=1e-4)
    assert without.prior_gain is None


def test_a_fitted_prior_makes_clustered_latents_likelier():
    """Latents in two clumps: their log-density under the standard normal is far from the best."""
    rng = np.random.default_rng(0)

    def images(n):
        return Split(rng.choice([0, 255], (n, 8, 8, 1)).astype(np.uint8))

    class Clumps(Codec):
        def encode(self, x):
            side = np.where(x[:, 0, 0, :] > 0, 1.5, -1.5).astype(np.float32)  # (n, 1)
            mean = np.concatenate([side, 0 * side, -side], axis=1)
            return mean, np.full_like(mean, np.log(0.04))

    pixels = Pixels((8, 8, 1), binarize="threshold")
    dataset = Dataset("clumps", images(2000), images(200), images(10), pixels)
    fitted = fit_prior(Clumps(), dataset, TrainConfig(epochs=10))
    # Exactly: log 1/2 + log N(z; mean, 0.04 I), less log N(z; 0, I), in the mean.
    entropy = -0.5 * 3 * (1 + np.log(2 * np.pi * 0.04)) - np.log(2)
    standard = -0.5 * (3 * np.log(2 * np.pi) + 2 * 1.5**2 + 3 * 0.04)
    best = entropy - standard
    assert 0.3 * best < fitted.report["validation_gain"] < best + 0.1  # few steps, in a test


def test_a_prior_for_a_finished_run_is_that_of_its_training_to_the_bit(
    finished, standard, tmp_path
):
    shutil.copytree(standard.folder, tmp_path / "run")
    steps = []
    run = add_prior(Run.open(tmp_path / "run"), on_step=lambda done, all_: steps.append(done))
    assert_same_weights(run, finished)
    assert steps == [*range(1, len(steps) + 1)]
    assert Run.open(tmp_path / "run").summary["test_elbo"] == finished.summary["test_elbo"]


def test_test_images_are_not_looked_at(finished, standard, tmp_path):
    shutil.copytree(standard.folder, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    with np.load(run.config.data.source) as data:
        arrays = dict(data)
    arrays["x_test"] = 255 - arrays["x_test"]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.warns(UserWarning, match="is no longer what"):
        assert_same_weights(add_prior(run, str(tmp_path / "other.npz")), finished)


def test_a_training_stopped_while_the_prior_is_fitted_goes_on(finished, config, tmp_path):
    def interrupt(done: int, steps: int) -> None:
        if done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped):
        train(tmp_path / "run", config, on_prior=interrupt)
    stopped = Run.open(tmp_path / "run")
    assert stopped.summary is None
    assert stopped.flow() is None
    assert_same_weights(train(tmp_path / "run", config, resume=True), finished)


def test_a_prior_is_fitted_to_a_run_that_has_ended_alone(standard, tmp_path):
    shutil.copytree(standard.folder, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(RunError, match="fitted to a run that has ended, and .* has not"):
        add_prior(Run.open(tmp_path / "run"))


def test_an_interrupted_fit_leaves_a_run_as_it_was(standard, tmp_path):
    shutil.copytree(standard.folder, tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}

    def interrupt(done: int, steps: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        add_prior(Run.open(tmp_path / "run"), on_step=interrupt)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_a_damaged_prior_is_named(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    flow = run.flow()
    del flow.weights["low_0_shift/bias"]
    run.save_weights(*run.read_weights(), flow)
    with pytest.raises(RunError, match="must have a flow's weights, others in low_0_shift/bias"):
        run.flow()


def test_flow_is_refused_where_a_run_has_none(standard):
    with pytest.raises(RunError, match="has no learned prior: cvae-edge prior"):
        evaluate_run(standard, load_run_data(standard), prior="flow")


def test_an_unknown_prior_is_refused(tiny_config):
    with pytest.raises(ConfigError, match="prior must be one of flow, standard, got 'vamp'"):
        dataclasses.replace(tiny_config.train, prior="vamp")
