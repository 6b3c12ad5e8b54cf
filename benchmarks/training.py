"""Images a second in training: our loop, Keras fit, a plain tf.function loop, PyTorch.

    python benchmarks/training.py [--rounds 9] [--batch-size 100]

Same networks, Adam, batch and data. All are warmed up, then take turns in rounds, so that a machine
whose speed drifts touches all alike; figures are medians over the rounds, ratios are taken within a
round. The share of the machine's float32 matrix-product rate counts 34.5 MFLOP an image.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import record

from cvae_edge.config import ModelConfig, TrainConfig
from cvae_edge.datasets.packaged import read_mnist
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from cvae_edge.training import elbo  # noqa: E402
from cvae_edge.training.model import VAE  # noqa: E402
from cvae_edge.training.step import make_optimizer, make_step  # noqa: E402

IMAGES_A_TURN = 3000
MFLOP_AN_IMAGE = 34.5  # 11.5 forward; the gradients with respect to inputs and weights as much each
Turn = Callable[[], None]


def ours(images: np.ndarray, batch_size: int) -> Turn:
    config = TrainConfig(batch_size=batch_size)
    vae = VAE(ModelConfig())
    step = make_step(
        vae, make_optimizer(vae, config, 1), config, "static", tf.distribute.get_strategy()
    )

    def turn() -> None:
        for i in range(0, len(images), batch_size):
            step(images[i : i + batch_size], i)

    return turn


def plain_step(batch_size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    vae = VAE(ModelConfig())
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(vae.variables)

    @tf.function(jit_compile=False)
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = negative_elbo(vae, x)
        optimizer.apply(tape.gradient(loss, vae.variables), vae.variables)
        return loss

    return step


def negative_elbo(vae: VAE, x: tf.Tensor) -> tf.Tensor:
    posterior = vae.encoder(x)
    eps = tf.random.normal(tf.shape(posterior["mean"]))
    z = elbo.reparameterize(posterior["mean"], posterior["logvar"], eps)
    log_px = elbo.log_bernoulli(x, vae.decoder(z))
    return tf.reduce_mean(elbo.kl_sample(z, posterior["logvar"], eps) - log_px)


def tf_function(images: np.ndarray, batch_size: int) -> Turn:
    step = plain_step(batch_size)
    x = images.astype(np.float32) / 255

    def turn() -> None:
        for i in range(0, len(x), batch_size):
            loss = step(tf.constant(x[i : i + batch_size]))
        loss.numpy()

    return turn


def keras_fit(images: np.ndarray, batch_size: int, jit_compile: str | bool) -> Turn:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.vae = VAE(ModelConfig())
            self.encoder, self.decoder = self.vae.encoder, self.vae.decoder

        def train_step(self, data: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                loss = negative_elbo(self.vae, data)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

    model = Model()
    model.compile(optimizer=keras.optimizers.Adam(1e-4), jit_compile=jit_compile)
    x = images.astype(np.float32) / 255
    return lambda: model.fit(x, batch_size=batch_size, epochs=1, verbose=0)


def pytorch(images: np.ndarray, batch_size: int) -> Turn:
    import torch
    from torch import nn
    from torch.nn import functional

    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(2304, 100),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(50, 1568), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 64, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, 1, 1),
    )  # fmt: skip
    networks = nn.Sequential(encoder, decoder).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(networks.parameters(), 1e-4)
    x = torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2) / 255)
    x = x.contiguous(memory_format=torch.channels_last)

    def turn() -> None:
        for i in range(0, len(x), batch_size):
            batch = x[i : i + batch_size]
            mean, logvar = encoder(batch).chunk(2, dim=1)
            eps = torch.randn_like(mean)
            z = mean + (logvar / 2).exp() * eps
            cross_entropy = functional.binary_cross_entropy_with_logits(
                decoder(z), batch, reduction="sum"
            )
            kl = (z * z - eps * eps - logvar).sum() / 2
            loss = (cross_entropy + kl) / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return turn


def matrix_product_rate() -> float:
    """GFLOP a second of TensorFlow's float32 product of two 2048 x 2048 matrices."""
    a = tf.random.normal([2048, 2048])
    product = tf.function(lambda: tf.matmul(a, a), jit_compile=False)
    product()
    start = time.perf_counter()
    for _ in range(3):
        result = product()
    result.numpy()
    return 3 * 2 * 2048**3 / (time.perf_counter() - start) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=100)
    arguments = parser.parse_args()
    batch_size = arguments.batch_size
    images = read_mnist()[0].images[:IMAGES_A_TURN]
    turns: dict[str, Turn] = {
        "cvae_edge": ours(images, batch_size),
        "Keras fit, default": keras_fit(images, batch_size, "auto"),
        "Keras fit, jit_compile=False": keras_fit(images, batch_size, False),
        "tf.function": tf_function(images, batch_size),
    }
    skipped = []
    if importlib.util.find_spec("torch"):
        turns["PyTorch, eager, channels_last"] = pytorch(images, batch_size)
    else:
        skipped.append("PyTorch (not installed)")
    for turn in turns.values():
        turn()
    rates: dict[str, list[float]] = {name: [] for name in turns}
    product_rates = []
    for _ in range(arguments.rounds):
        product_rates.append(matrix_product_rate())
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            rates[name].append(len(images) / (time.perf_counter() - start))
    report(rates, product_rates, skipped, batch_size)


def report(
    rates: dict[str, list[float]], product_rates: list[float], skipped: list[str], batch_size: int
) -> None:
    own = np.array(rates["cvae_edge"])
    peers = {name: np.array(values) for name, values in rates.items() if name != "cvae_edge"}
    fastest = max(peers, key=lambda name: np.median(peers[name]))
    rows, figures = [], {}
    for name, values in rates.items():
        rate = np.array(values)
        ratio, share = own / rate, rate * MFLOP_AN_IMAGE / 1e3 / np.array(product_rates)
        figures[name] = {
            "images_per_second": [round(v) for v in values],
            "median": round(float(np.median(rate))),
            "cvae_edge_is_faster_by": round(float(np.median(ratio)), 3),
            "share_of_matrix_product_rate": round(float(np.median(share)), 3),
        }
        rows.append(
            (
                name,
                f"{np.median(rate):.0f} ({rate.min():.0f} to {rate.max():.0f})",
                f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})",
                f"{np.median(share):.0%}",
            )
        )
    columns = (
        "loop",
        "images/s, median (range)",
        "cvae_edge is faster by",
        "of matrix-product rate",
    )
    text = record.markdown_table(columns, rows)
    text += (
        f"\nBatch {batch_size}, {len(own)} rounds. Fastest peer: {fastest}. A 2048 x 2048 float32 "
        f"matrix product ran at {np.median(product_rates):.0f} GFLOP/s.\n"
    )
    if skipped:
        text += f"\nSkipped: {', '.join(skipped)}.\n"
    versions = record.versions("tensorflow", "keras", "torch", "numpy")
    record.write(
        f"training-batch-{batch_size}",
        {"versions": versions, "loops": figures, "gflops": product_rates, "skipped": skipped},
        "Training: images a second",
        text,
    )


if __name__ == "__main__":
    main()
