"""Images a second in training: our loop, Keras fit, a plain tf.function loop, PyTorch.

    python benchmarks/training.py [--rounds 9] [--batch-size 100]

Same networks, Adam, batch and data. Each loop is a process of its own; all are warmed up, then take
turns in rounds, so that a machine whose speed drifts touches all alike. Figures are medians over
the rounds, ratios are taken within a round. The share of the machine's float32 matrix-product rate
counts 34.5 MFLOP an image. Results go to benchmarks/results/MACHINE/training_batch_N.json and .md.
"""

from __future__ import annotations

import argparse
import importlib.util
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import record
from turns import Peer

MFLOP_AN_IMAGE = 34.5  # 11.5 forward; the gradients with respect to inputs and weights as much each
PRODUCT = "matrix product"
PRODUCT_GFLOP = 3 * 2 * 2048**3 / 1e9  # in a turn
LOOPS = {  # by name: the package it needs, whose script runs it
    "cvae_edge": "tensorflow",
    "Keras fit, default": "tensorflow",
    "Keras fit, jit_compile=False": "tensorflow",
    "tf.function": "tensorflow",
    "PyTorch, eager, channels_last": "torch",
    PRODUCT: "tensorflow",
}
SCRIPTS = {"tensorflow": "training_tensorflow.py", "torch": "training_pytorch.py"}


def measure(rounds: int, batch_size: int, images: int) -> tuple[dict[str, list[float]], list[str]]:
    """Return each loop's seconds a turn, one for each round, and the loops that are skipped."""
    there = {name for name, package in LOOPS.items() if importlib.util.find_spec(package)}
    with ExitStack() as stack:
        peers = {}
        for name, package in LOOPS.items():
            if name in there:
                script = str(Path(__file__).with_name(SCRIPTS[package]))
                peer = Peer(script, name, str(batch_size), str(images))
                peers[name] = stack.enter_context(peer)
                peer.ask()  # compiles, and warms up
        seconds: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(rounds):
            for name, peer in peers.items():
                seconds[name].append(peer.ask_undisturbed())
    return seconds, [f"{name} (not installed)" for name in LOOPS if name not in there]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--images", type=int, default=3000, help="in a turn")
    arguments = parser.parse_args()
    seconds, skipped = measure(arguments.rounds, arguments.batch_size, arguments.images)
    product_rates = [round(PRODUCT_GFLOP / s, 1) for s in seconds.pop(PRODUCT)]
    rates = {name: [arguments.images / s for s in turns] for name, turns in seconds.items()}
    report(rates, product_rates, skipped, arguments.batch_size)


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
        f"training_batch_{batch_size}",
        {"versions": versions, "loops": figures, "gflops": product_rates, "skipped": skipped},
        "Training: images a second",
        text,
    )


if __name__ == "__main__":
    main()
