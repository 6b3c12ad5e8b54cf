"""Networks of one's own, and the likelihoods of grey pixels, through whole trainings."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.errors import ConfigError, RunError
from cvae_edge.training import train
from cvae_edge.training.evaluate import evaluate_run
from cvae_edge.training.run import Run, RunConfig


def pair(shape=(8, 8, 1), latent_dim=3, seed=1):
    """With layers that behave otherwise in training, dropout without a seed of its own."""
    keras.utils.set_random_seed(seed)
    x, z = keras.Input(shape), keras.Input((latent_dim,))
    h = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, 2, "same")(x))
    h = keras.layers.Dropout(0.2)(keras.layers.Flatten()(keras.layers.ReLU()(h)))
    image = keras.layers.Reshape(shape)(keras.layers.Dense(int(np.prod(shape)))(z))
    both = [keras.layers.Dense(latent_dim)(h) for _ in range(2)]
    return keras.Model(x, both), keras.Model(z, image)


@pytest.fixture(params=["gaussian", "logistic"])
def config(request, tiny_config):
    return RunConfig(
        tiny_config.model,
        dataclasses.replace(tiny_config.data, binarize="none"),
        dataclasses.replace(tiny_config.train, likelihood=request.param, clip_norm=100.0),
    )


def weights(run):
    found, likelihood = run.read_weights()
    return {**found, "scale": np.asarray(likelihood.scale)}


def test_a_training_that_was_broken_off_ends_as_if_it_was_not(config, tmp_path):
    def break_off(progress):
        if progress.step == 29:  # in the second epoch of 18 steps
            raise InterruptedError

    whole = train(tmp_path / "whole", config, models=pair())
    assert whole.config.model.preset == "own"
    with pytest.raises(InterruptedError):
        train(tmp_path / "run", config, models=pair(), on_progress=break_off)
    keras.utils.set_random_seed(99)  # as another process would stand
    resumed = train(tmp_path / "run", Run.open(tmp_path / "run").config, resume=True)
    # layers without a name are numbered through the process, so that names differ
    pairs = zip(weights(resumed).items(), weights(whole).values(), strict=True)
    for (name, value), expected in pairs:
        assert value.tobytes() == expected.tobytes(), name
    assert evaluate_run(resumed).elbo == pytest.approx(resumed.summary["test_elbo"])
    rows = [[row["train_elbo"], row["validation_elbo"]] for row in whole.history()]
    assert rows == [[row["train_elbo"], row["validation_elbo"]] for row in resumed.history()]


def test_training_learns_what_grey_pixels_are(config, tmp_path):
    run = train(tmp_path / "run", config, models=pair())
    history = [row["validation_elbo"] for row in run.history()]
    assert history[-1] > history[0] + 2
    assert run.likelihood().name == config.train.likelihood
    assert 0.01 < run.likelihood().scale[0] < 0.5
    assert run.summary["test_psnr"] == pytest.approx(evaluate_run(run).psnr)
    assert ("test_bits_per_dim" in run.summary) == (config.train.likelihood == "logistic")


def test_the_callers_models_are_not_changed(tiny_config, tmp_path):
    models = pair()
    before = [w.numpy() for w in models[0].weights]
    train(tmp_path / "run", tiny_config, models=models)
    for old, weight in zip(before, models[0].weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


def test_what_cannot_be_trained_leaves_no_folder(tiny_config, tmp_path):
    gaussian = dataclasses.replace(
        tiny_config, train=dataclasses.replace(tiny_config.train, likelihood="gaussian")
    )
    for models, config, message in (
        (pair((12, 12, 1)), tiny_config, r"takes images of \(12, 12, 1\), got \(8, 8, 1\)"),
        (("encoder", "decoder"), tiny_config, "the encoder must be a Keras model, got str"),
        (pair(), gaussian, "gaussian is one of grey or colour pixels.*got --binarize draw"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(tmp_path / "run", config, models=models)
    with pytest.raises(ConfigError, match="strategy must be"):
        train(tmp_path / "run", tiny_config, strategy="all")
    assert not (tmp_path / "run").exists()


def test_a_run_that_lost_its_checkpoints_says_so(tiny_config, tmp_path):
    run = train(tmp_path / "run", tiny_config, models=pair())
    (run.folder / "summary.json").unlink()
    for path in run.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(RunError, match="no checkpoint to go on from"):
        train(run.folder, run.config, resume=True)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("binarize", ["none", "threshold"])
def test_pictures_show_the_rows_that_make_sense_for_the_pixels(tmp_path, channels, binarize):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 9, 11, channels), np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images)
    likelihood = "gaussian" if binarize == "none" else "bernoulli"
    encoder, decoder = pair((9, 11, channels))
    run = train(
        tmp_path / "run",
        RunConfig(
            ModelConfig(),
            DataConfig(str(tmp_path / "data.npz"), binarize=binarize),
            TrainConfig(1, 20, likelihood=likelihood),
        ),
        models=(encoder, decoder),
    )
    with Image.open(run.folder / "reconstructions.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    rows = 2 if binarize == "none" else 4
    assert pixels.shape[0] == rows * 120
    is_colour = (pixels.max(-1) - pixels.min(-1)).max() > 60
    assert is_colour == (channels > 2)
