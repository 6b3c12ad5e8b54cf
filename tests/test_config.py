import dataclasses

import pytest

from cvae_edge.config import RECIPES, DataConfig, ModelConfig, TrainConfig
from cvae_edge.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (ModelConfig, {"latent_dim": 0}, "latent_dim must be an integer of at least 1, got 0"),
        (ModelConfig, {"latent_dim": True}, "latent_dim must be"),
        (ModelConfig, {"image_shape": (28, 28, 5)}, "1 to 4 channels, got .28, 28, 5."),
        (ModelConfig, {"image_shape": (28, 28)}, "image_shape must be height and width"),
        (ModelConfig, {"width": 0.0}, "width must be above 0"),
        (DataConfig, {"background": "white"}, "background must be a colour such as #ffffff"),
        (TrainConfig, {"clip_norm": 0.0}, "clip_norm must be above 0"),
        (DataConfig, {"fit": "squeeze"}, "fit must be one of stretch, crop, pad, got 'squeeze'"),
        (DataConfig, {"image_size": (0, 8)}, "image_size must be a height and a width"),
        (TrainConfig, {"epochs": 0}, "epochs must be at least 1, got 0"),
        (TrainConfig, {"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        (TrainConfig, {"kl": "exact"}, "kl must be sample or analytic, got 'exact'"),
        (TrainConfig, {"beta": -1.0}, "beta must be 0 or more, got -1.0"),
        (DataConfig, {"validation": -1}, "validation must be 0 or more, got -1"),
        (DataConfig, {"binarize": "half"}, "none, threshold, draw, got 'half'"),
        (DataConfig, {"channels": 5}, "1 to 4 channels, got 5"),
    ],
)
def test_settings_outside_their_range_are_refused(kind, fields, message):
    with pytest.raises(ConfigError, match=message):
        kind(**fields)


@pytest.mark.parametrize(
    "record", [ModelConfig(latent_dim=3), DataConfig("x.npz"), *RECIPES.values()]
)
def test_records_go_through_json_values_and_back(record):
    assert type(record).from_dict(record.to_dict()) == record


@pytest.mark.parametrize("fields", [[], {"latent": 3}, {"latent_dim": "3"}, None])
def test_json_that_is_no_record_is_refused(fields):
    with pytest.raises(ConfigError):
        ModelConfig.from_dict(fields)


def test_the_seeds_recipe_is_the_tutorials_and_then_fits_a_prior():
    tutorial = TrainConfig(
        epochs=100, batch_size=100, learning_rate=1e-4, warmup_epochs=0, final_rate=1.0, kl="sample"
    )
    assert RECIPES["seed"] == dataclasses.replace(tutorial, prior="flow")
