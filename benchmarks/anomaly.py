"""Does ``score`` find what a model was not trained on? ROC AUC per digit that was left out.

    python benchmarks/anomaly.py [--digits 0123456789] [--epochs 1] [--images 60000]

For each digit: trains a model on MNIST's training images without it, exports the bundle, scores
1,000 test images of the other digits and all test images of the left-out one, and reports how often
an image of the left-out digit scores below one of the others (ROC AUC; 0.5 is chance). Runs are
short, so the figures are a floor. Results go to benchmarks/results/MACHINE/anomaly.json and .md.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

from cvae_edge import EdgeCVAE
from cvae_edge.config import RECIPES, DataConfig, ModelConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.noise import permutation

PRECISIONS = ("float32", "int8")
SAMPLES = (0, 1, 16)  # 0: through the posterior's mean
NORMAL_IMAGES = 1000


def roc_auc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Return P(anomalous < normal), ties counting half: the Mann-Whitney statistic from ranks."""
    both = np.concatenate([normal, anomalous])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # from 1, of each distinct value
    ranks = mean_rank[inverse][: len(normal)].sum()
    return float((ranks - len(normal) * (len(normal) + 1) / 2) / (len(normal) * len(anomalous)))


def make_bundle(digit: int, images: int, epochs: int, folder: Path) -> dict[str, Any]:
    """Train without ``digit``, export to ``folder``/bundle and return the run's summary."""
    from cvae_edge.exporters import export_bundle
    from cvae_edge.training.launch import train
    from cvae_edge.training.run import RunConfig

    mnist = load_dataset(DataConfig(validation=0))
    kept = [np.flatnonzero(split.labels != digit) for split in (mnist.train, mnist.test)]
    drawn = kept[0][permutation(len(kept[0]), 0, digit)[:images]]
    data = folder / f"without{digit}.npz"
    np.savez(data, x_train=mnist.train.images[drawn], x_test=mnist.test.images[kept[1]])
    config = RunConfig(
        ModelConfig(),
        DataConfig(str(data), binarize="threshold"),
        dataclasses.replace(
            RECIPES["fast"], epochs=epochs, warmup_epochs=0.25, average_epochs=0.05
        ),
    )
    run = train(folder / "run", config)
    export_bundle(
        folder / "run", folder / "bundle", ("onnx",), PRECISIONS, max_elbo_drop=5.0, held_out=500
    )
    return dict(run.summary or {})


def measure(digit: int, bundle: Path) -> dict[str, float]:
    """Return the ROC AUC for each precision and number of samples."""
    test = load_dataset(DataConfig()).test
    normal = test.images[test.labels != digit][:NORMAL_IMAGES]
    anomalous = test.images[test.labels == digit]
    result = {}
    for precision in PRECISIONS:
        model = EdgeCVAE.load(bundle, precision=precision)
        for samples in SAMPLES:
            scores = [model.score(x, samples) for x in (normal, anomalous)]
            result[f"{precision}, {samples}"] = round(roc_auc(*scores), 4)
    return result


def write(figures: dict[str, Any]) -> None:
    columns = [f"{precision}, {samples}" for precision in PRECISIONS for samples in SAMPLES]
    digits = figures["digits"]
    rows: list[list[object]] = [
        [digit, f"{row['test_elbo']:.1f}", *(f"{row['auc'][c]:.3f}" for c in columns)]
        for digit, row in digits.items()
    ]
    means = [f"{np.mean([row['auc'][c] for row in digits.values()]):.3f}" for c in columns]
    text = record.markdown_table(["left out", "test ELBO", *columns], [*rows, ["mean", "", *means]])
    text += (
        f"\nColumns are precision and samples. At most {figures['images']} training images and "
        f"{figures['epochs']} epochs each, so a floor; {NORMAL_IMAGES} test images of the other "
        "digits against all of the left-out one.\n"
    )
    record.write("anomaly", figures, "ROC AUC of score for a digit the model never saw", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", default="0123456789")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=60_000)
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "versions": record.versions("tensorflow", "onnxruntime", "numpy"),
        "epochs": options.epochs,
        "images": options.images,
        "normal_test_images": NORMAL_IMAGES,
        "digits": {},
    }
    for digit in map(int, options.digits):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            summary = make_bundle(digit, options.images, options.epochs, Path(folder))
            auc = measure(digit, Path(folder) / "bundle")
        seconds = round(time.monotonic() - started)
        figures["digits"][str(digit)] = {
            "test_elbo": summary["test_elbo"],
            "auc": auc,
            "seconds": seconds,
        }
        write(figures)  # after each, so that a run that is stopped leaves what it had


if __name__ == "__main__":
    main()
