"""From options to a config; no training, but TensorFlow is imported for the presets."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from cvae_edge.cli.planning import check_options, parse_size, plan_training
from cvae_edge.config import RECIPES
from cvae_edge.errors import ConfigError


def plan(source, model=None, data=None, training=None, recipe=None):
    data = {"source": source, **(data or {})}
    return plan_training(None, recipe, model or {}, data, training or {})


@pytest.fixture
def images(tmp_path):
    def write(n, shape=(8, 9, 3)):
        path = tmp_path / f"{n}.npz"
        np.savez(path, x_train=np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8))
        return str(path)

    return write


def test_mnist_takes_the_tutorials_preset_bernoulli_and_recipe_fast():
    config = plan("mnist").config
    assert (config.model.preset, config.model.latent_dim) == ("seed", 50)
    assert config.train == RECIPES["fast"]
    assert plan("mnist", recipe="seed").config.train == RECIPES["seed"]


def test_other_images_take_the_general_preset_and_gaussian(images):
    config = plan(images(100)).config
    assert (config.model.preset, config.model.image_shape) == ("general", (8, 9, 3))
    assert config.train.likelihood == "gaussian"
    assert plan(images(100), data={"binarize": "draw"}).config.train.likelihood == "bernoulli"
    assert plan(images(100), training={"likelihood": "logistic"}).config.train.likelihood == (
        "logistic"
    )


def test_few_images_get_smaller_batches_and_more_epochs(images):
    """81 of 100 images are trained on: 5 steps of 16 an epoch, 3,000 of which are too many."""
    general = RECIPES["general"]
    few = plan(images(100)).config.train
    assert (few.batch_size, few.epochs) == (16, 200)
    assert few.warmup_epochs / few.epochs == pytest.approx(general.warmup_epochs / general.epochs)
    assert plan(images(100), recipe="general").config.train.batch_size == general.batch_size
    many = plan(images(5000, (8, 8, 1)), training={"likelihood": "gaussian"}).config.train
    assert many == dataclasses.replace(general, likelihood="gaussian")


def test_the_warm_up_is_not_stretched_where_the_epochs_are_given(images):
    training = plan(images(100), training={"epochs": 3, "batch_size": 5}).config.train
    assert (training.epochs, training.batch_size) == (3, 5)
    assert training.warmup_epochs == RECIPES["general"].warmup_epochs


@pytest.mark.parametrize(
    ("recipe", "data", "training", "message"),
    [
        ("slow", {}, {}, "recipe must be one of"),
        (None, {"fit": "zoom"}, {}, "fit must be one of"),
        (None, {}, {"kl": "exact"}, "kl must be"),
        (None, {}, {"likelihood": "poisson"}, "likelihood must be one of bernoulli"),
    ],
)
def test_options_are_checked_before_anything_is_read(recipe, data, training, message):
    with pytest.raises(ConfigError, match=message):
        check_options(recipe, data, training)
    check_options(None, {"source": "nowhere", "fit": None}, {"epochs": 3})


def test_sizes_are_height_first():
    assert parse_size("64") == (64, 64)
    assert parse_size("64x48") == (64, 48)
    assert parse_size(None) is None
    with pytest.raises(ConfigError, match="height first, got '64,48'"):
        parse_size("64,48")
