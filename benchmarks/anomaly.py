"""Which score finds digits that a model was not trained on? Mean ROC AUC over digits.

    python benchmarks/anomaly.py [--data IDX] [--good 0123456789] [--without 0123456789]
        [--epochs 12] [--images 6750]

--good: a model is trained on one digit, and all test images are scored; the other digits are
anomalies. --without: a model is trained on nine digits, and 1,000 test images of theirs and all of
the tenth are scored. The last sixth of the training images trains nothing, but fits what a method
keeps of good images. Peers, if scikit-learn is installed, see the same images. Each method is
that of ``cvae_edge.monitor``; pasting and blur were chosen on training images of digit 2. Digits
that an earlier run with the same settings measured are kept. Results go to
benchmarks/results/MACHINE/anomaly.json and .md. Figures of 0.5 are chance.
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

from cvae_edge.codec import Codec
from cvae_edge.config import RECIPES, DataConfig, ModelConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.evidence import Evidence
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.monitor.methods import METHODS
from cvae_edge.noise import permutation
from cvae_edge.preprocess import to_float

LATENTS = {"good": 8, "without": 16}
NORMAL_IMAGES = 1000
PCA_PARTS, NEIGHBOURS, CHUNK = 50, 5, 500


def roc_auc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Return P(anomalous > normal), ties counting half: the Mann-Whitney statistic from ranks."""
    both = np.concatenate([normal, anomalous])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # from 1, of each distinct value
    ranks = mean_rank[inverse][len(normal) :].sum()
    n = len(anomalous)
    return float((ranks - n * (n + 1) / 2) / (len(normal) * n))


def train(x: np.ndarray, kind: str, epochs: int, folder: Path) -> Codec:
    """Train on images and return the networks, through TensorFlow."""
    from cvae_edge.training import launch
    from cvae_edge.training.evaluate import trained_codec
    from cvae_edge.training.run import RunConfig

    data = folder / "good.npz"
    np.savez(data, x_train=x, x_test=x[:100])
    recipe = dataclasses.replace(
        RECIPES["fast"], epochs=epochs, batch_size=50, learning_rate=2e-3, paste=0.7,
        average_epochs=0.5,
    )  # fmt: skip
    config = RunConfig(
        ModelConfig(latent_dim=LATENTS[kind]),
        DataConfig(str(data), validation=0, binarize="none"),
        recipe,
    )
    return trained_codec(launch.train(folder / "run", config).vae())


def measure(codec: Codec, good: np.ndarray, normal: np.ndarray, anomalous: np.ndarray) -> Any:
    """Return the ROC AUC of each method, fitted on ``good``."""
    likelihood = make_likelihood("bernoulli")
    seen = [
        [Evidence(codec, to_float(x[i : i + CHUNK]), likelihood) for i in range(0, len(x), CHUNK)]
        for x in (good, normal, anomalous)
    ]
    result = {}
    for name, method in METHODS.items():
        if name == "residual":  # a megabyte an image would not fit: by parts it is as on a device
            continue
        features = [np.concatenate([method.features(e) for e in parts]) for parts in seen]
        statistics = method.fit(features[0])
        distances = [method.distance(f, statistics) for f in features[1:]]
        result[name] = round(roc_auc(*distances), 4)
    return result


def peers(good: np.ndarray, normal: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    """Return the ROC AUC of scikit-learn's nearest neighbours and PCA on pixels."""
    try:
        from sklearn.decomposition import PCA
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        return {}
    good, *others = (to_float(x).reshape(len(x), -1) for x in (good, normal, anomalous))
    pca = PCA(PCA_PARTS, random_state=0).fit(good)
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(good)

    def unexplained(x: np.ndarray) -> np.ndarray:
        return np.square(x - pca.inverse_transform(pca.transform(x))).sum(axis=1)

    def away(x: np.ndarray) -> np.ndarray:
        return neighbours.kneighbors(x)[0].mean(axis=1)

    return {
        "PCA, pixels": round(roc_auc(*map(unexplained, others)), 4),
        "nearest neighbours, pixels": round(roc_auc(*map(away, others)), 4),
    }


def one(kind: str, digit: int, mnist: Any, epochs: int, images: int) -> dict[str, Any]:
    """Train with or without a digit and return what finds the others, or it."""
    kept = [(split.labels == digit) == (kind == "good") for split in (mnist.train, mnist.test)]
    x = mnist.train.images[kept[0]]
    x = x[permutation(len(x), 0, digit)[:images]]
    fitting = len(x) // 6
    normal, anomalous = mnist.test.images[kept[1]], mnist.test.images[~kept[1]]
    if kind == "without":
        normal = normal[:NORMAL_IMAGES]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        codec = train(x[:-fitting], kind, epochs, Path(folder))
        auc = measure(codec, x[-fitting:], normal, anomalous)
    return {**auc, **peers(x, normal, anomalous), "seconds": round(time.monotonic() - started)}


def write(figures: dict[str, Any]) -> None:
    """Keep a table a kind, a row a method."""
    titles = {"good": "One digit is good", "without": "Nine digits are good"}
    text = ""
    for kind, title in titles.items():
        digits = figures[kind]
        if not digits:
            continue
        names = [name for name in next(iter(digits.values())) if name != "seconds"]
        rows = [
            [name, f"{np.mean([d[name] for d in digits.values()]):.3f}",
             *(f"{d[name]:.3f}" for d in digits.values())]
            for name in names
        ]  # fmt: skip
        text += f"\n{title}:\n\n" + record.markdown_table(["method", "mean", *digits], rows)
    text += (
        f"\nColumns are the digit that is good, or that the model never saw. {figures['epochs']} "
        f"epochs on at most {figures['images']} images, so a floor.\n"
    )
    record.write("anomaly", figures, "ROC AUC of digits that a model never saw", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="A folder of IDX files; by default the packaged MNIST.")
    parser.add_argument("--good", default="0123456789")
    parser.add_argument("--without", default="0123456789")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=int, default=6750)
    options = parser.parse_args()
    config = DataConfig(options.data, binarize="none") if options.data else DataConfig()
    mnist = load_dataset(dataclasses.replace(config, validation=0))
    settings = {"epochs": options.epochs, "images": options.images, "grey": bool(options.data)}
    kept = record.kept("anomaly")
    same = all(kept.get(name) == value for name, value in settings.items())
    figures: dict[str, Any] = {
        "versions": record.versions("tensorflow", "numpy", "scikit-learn"),
        **settings,
        **{kind: kept[kind] if same else {} for kind in LATENTS},
    }
    for kind in ("good", "without"):
        for digit in map(int, getattr(options, kind)):
            of_digit = one(kind, digit, mnist, options.epochs, options.images)
            figures[kind][str(digit)] = of_digit
            write(figures)  # after each, so that a run that is stopped leaves what it had


if __name__ == "__main__":
    main()
