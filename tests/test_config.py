import pytest

from cvae_edge.config import RECIPES, DataConfig, ModelConfig, TrainConfig
from cvae_edge.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (ModelConfig, {"latent_dim": 0}, "latent_dim must be an integer of at least 1, got 0"),
        (ModelConfig, {"latent_dim": True}, "latent_dim must be"),
        (ModelConfig, {"image_shape": (30, 28, 1)}, "multiples of 4 and at least 8, got 30x28"),
        (ModelConfig, {"image_shape": (4, 4, 1)}, "at least 8, got 4x4"),
        (ModelConfig, {"image_shape": (28, 28, 2)}, "1 or 3 channels, got 2"),
        (ModelConfig, {"image_shape": (28, 28)}, "three positive integers"),
        (ModelConfig, {"encoder_filters": (32, 0)}, "encoder_filters must be two positive"),
        (TrainConfig, {"epochs": 0}, "epochs must be at least 1, got 0"),
        (TrainConfig, {"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        (TrainConfig, {"kl": "exact"}, "kl must be sample or analytic, got 'exact'"),
        (TrainConfig, {"beta": -1.0}, "beta must be 0 or more, got -1.0"),
        (DataConfig, {"validation": -1}, "validation must be 0 or more, got -1"),
        (DataConfig, {"binarize": "half"}, "static, dynamic or none, got 'half'"),
        (DataConfig, {"channels": 4}, "1 or 3 channels, got 4"),
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


def test_the_seeds_recipe_is_the_tutorials():
    assert RECIPES["seed"] == TrainConfig(
        epochs=100, batch_size=100, learning_rate=1e-4, warmup_epochs=0, final_rate=1.0, kl="sample"
    )
