from pathlib import Path

import pytest

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.training.run import RunConfig  # noqa: E402


@pytest.fixture(scope="session")
def tiny_config(tiny_model: ModelConfig, tiny_npz: Path) -> RunConfig:
    """3 epochs of 18 steps on 360 images."""
    return RunConfig(
        tiny_model,
        DataConfig(str(tiny_npz), validation=40, binarize="draw"),
        TrainConfig(epochs=3, batch_size=20, learning_rate=1e-2, average_epochs=0.5),
    )
