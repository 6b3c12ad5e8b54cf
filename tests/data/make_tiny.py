"""Make tests/data/tiny: a whole bundle of a model that is as small as one can be.

    python tests/data/make_tiny.py

Trains on MNIST at 8x8 pixels for a few seconds, and exports every precision. The weights and so
the files depend on the machine's arithmetic; tests hold for any of them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from cvae_edge.config import DataConfig, ModelConfig, TrainConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.exporters.export import export_bundle
from cvae_edge.training.launch import train
from cvae_edge.training.run import RunConfig

MODEL = ModelConfig("general", (8, 8, 1), 4, width=0.25)
OUT = Path(__file__).resolve().with_name("tiny")


def shrink(images: np.ndarray) -> np.ndarray:
    """Cut 28x28 images to their middle 24x24 and average 3x3 pixels: (n, 8, 8, 1)."""
    middle = images[:, 2:26, 2:26, 0].reshape(-1, 8, 3, 8, 3)
    return middle.mean(axis=(2, 4)).astype(np.uint8)[..., np.newaxis]


def main() -> None:
    mnist = load_dataset(DataConfig())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # so that the manifest names its data without a temporary folder
        np.savez(
            "mnist8.npz",
            x_train=shrink(mnist.train.images[:20000]),
            x_test=shrink(mnist.test.images[:2000]),
        )
        config = RunConfig(
            MODEL,
            DataConfig("mnist8.npz", binarize="threshold"),
            TrainConfig(epochs=4, learning_rate=5e-3, warmup_epochs=0.5, final_rate=0.02),
        )
        train(Path(folder) / "run", config)
        result = export_bundle(
            Path(folder) / "run",
            OUT,
            precisions=("float32", "float16", "dynamic_range", "int8"),
            fused=False,
            max_elbo_drop=5.0,  # so few weights have little to spare for a quantizer
        )
    print(f"{result.folder}: {sum(f.stat().st_size for f in OUT.iterdir()) / 1024:.0f} KB")


if __name__ == "__main__":
    main()
