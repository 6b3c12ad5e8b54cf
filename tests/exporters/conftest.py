from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

TINY = ModelConfig("seed", (12, 16, 1), 3, width=0.15)


def bars(n: int, seed: int) -> np.ndarray:
    """12x16 images of one lit row or column each: something a tiny model can learn."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 12, 16), np.uint8)
    for image in images:
        if rng.integers(2):
            image[rng.integers(12)] = 255
        else:
            image[:, rng.integers(16)] = 255
    return images


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cvae_edge.training.launch import train
    from cvae_edge.training.run import RunConfig

    folder = tmp_path_factory.mktemp("tiny")
    np.savez(folder / "bars.npz", x_train=bars(1200, 0), x_test=bars(300, 1))
    config = RunConfig(
        TINY,
        DataConfig(str(folder / "bars.npz"), binarize="threshold", validation=200),
        TrainConfig(epochs=2, batch_size=50, learning_rate=5e-3),
    )
    train(folder / "run", config)
    return folder / "run"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every format and precision of the tiny run."""
    from cvae_edge.exporters.export import export_bundle

    out = tmp_path_factory.mktemp("bundles") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cvae_edge.exporters.int8._ALPHAS", (0.5,))  # one is enough to test
        export_bundle(
            tiny_run,
            out,
            formats=("onnx", "tflite", "c"),
            precisions=("float32", "float16", "dynamic_range", "int8"),
            calibration_samples=100,
            held_out=100,
            max_elbo_drop=5.0,
            tune_epochs=1.0,
        )
    return out
