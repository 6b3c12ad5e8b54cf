"""How many samples are digits? Judged by a classifier that knows nothing of the model.

    python benchmarks/samples.py BUNDLE

Trains a small convolutional classifier on the labels of MNIST's training images, thresholded at
0.5. Then 10,000 samples of each prior, thresholded as well, are judged beside the test images and
the decoded posterior draws of these: the share of which it is at least 90% sure, how often it sees
each digit, the entropy of that distribution, and the kernel distance (KID) of its last hidden
layer's features from the test images' (Binkowski et al. 2018, equation 4; cubic kernel, mean over
10 disjoint parts of 1,000; test images are compared with other test images). No sample is cut off
or sharpened. samples.png shows 64 samples of the standard normal prior beside 64 of the learned
one, from the same noise.
Results go to benchmarks/results/MACHINE/samples.json, .md and .png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import record

from cvae_edge import EdgeCVAE
from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.images import image_grid, write_image
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
from keras import layers  # noqa: E402

SURE = 0.9
EPOCHS = 4
PARTS = 10  # that a kernel distance is the mean over
SHOWN = 64


def make_classifier(x: np.ndarray, labels: np.ndarray, epochs: int) -> keras.Model:
    """Train on images (n, 28, 28, 1); returns logits and features."""
    keras.utils.set_random_seed(0)
    h = images = keras.Input(x.shape[1:])
    for filters in (16, 32):
        h = layers.MaxPooling2D(2)(layers.Conv2D(filters, 3, activation="relu")(h))
    h = layers.Dropout(0.3)(layers.Flatten()(h))
    features = layers.Dense(64, activation="relu")(h)
    logits = layers.Dense(10)(layers.Dropout(0.3)(features))
    model = keras.Model(images, logits)
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(x, labels, batch_size=100, epochs=epochs, verbose=0)
    return keras.Model(images, [logits, features])


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy of features, each (n, d)."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def apart(x: np.ndarray) -> float:
        n, products = len(x), kernel(x, x)
        return float((products.sum() - np.trace(products)) / (n * (n - 1)))

    distances = [
        apart(x) + apart(y) - 2 * float(kernel(x, y).mean())
        for x, y in zip(np.array_split(a, PARTS), np.array_split(b, PARTS), strict=True)
    ]
    return float(np.mean(distances))


def judge(classifier: keras.Model, x: np.ndarray, test_features: np.ndarray) -> dict[str, Any]:
    logits, features = classifier.predict(x, batch_size=500, verbose=0)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    sure = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1) >= SURE
    digits = np.bincount(logits.argmax(axis=1), minlength=10) / len(x)
    seen = digits[digits > 0]
    return {
        "sure": round(float(sure.mean()), 4),
        "standard_error": round(float(sure.std() / np.sqrt(len(x))), 4),
        "digits": digits.round(4).tolist(),
        "entropy": round(float(-(seen * np.log(seen)).sum()), 4),
        "kid": round(kernel_distance(features, test_features), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    mnist = load_dataset(DataConfig())
    binary = {name: (getattr(mnist, name).images >= 128).astype(np.float32)
              for name in ("train", "test")}  # fmt: skip
    test = binary["test"][: options.images]
    classifier = make_classifier(binary["train"], mnist.train.labels, options.epochs)
    logits, features = classifier.predict(test, batch_size=500, verbose=0)
    accuracy = float((logits.argmax(axis=1) == mnist.test.labels[: len(test)]).mean())
    models = {
        prior: EdgeCVAE.load(options.bundle, precision=options.precision, prior=prior)
        for prior in ("standard", "flow")
    }
    drawn = {prior: model.generate(options.images, seed=1) for prior, model in models.items()}
    drawn["posterior of test images"] = models["standard"].reconstruct(test, seed=1)
    others = np.roll(features, len(features) // PARTS, axis=0)
    judged = {
        "test images": judge(classifier, test, others),
        **{name: judge(classifier, (x > 0.5).astype(np.float32), features)
           for name, x in drawn.items()},
    }  # fmt: skip
    rows = [
        [name, f"{j['sure']:.3f}", f"{min(j['digits']):.3f} to {max(j['digits']):.3f}",
         f"{j['entropy']:.3f}", f"{j['kid']:.4f}"]
        for name, j in judged.items()
    ]  # fmt: skip
    columns = ["images", "sure", "share of a digit", "entropy", "KID"]
    text = record.markdown_table(columns, rows)
    text += (
        f"\n{options.images:,} images each, {options.precision}, thresholded at 0.5. Sure: of how "
        f"many the classifier, right on {accuracy:.1%} of test images, is at least {SURE:.0%} "
        f"sure. Ten equal shares have an entropy of {np.log(10):.3f}. samples.png has the standard "
        "normal's samples on the left and the learned prior's, of the same noise, on the right.\n"
    )
    figures = {
        "versions": record.versions("tensorflow", "keras", "onnxruntime", "numpy"),
        "images": options.images,
        "precision": options.precision,
        "classifier_accuracy": round(accuracy, 4),
        "judged": judged,
    }
    record.write("samples", figures, "Samples of each prior, judged by a classifier", text)
    pictures = [image_grid(drawn[prior][:SHOWN]) for prior in ("standard", "flow")]
    gap = np.full((len(pictures[0]), 8, *pictures[0].shape[2:]), 255, pictures[0].dtype)
    write_image(record.folder() / "samples.png", np.concatenate([pictures[0], gap, pictures[1]], 1))


if __name__ == "__main__":
    main()
