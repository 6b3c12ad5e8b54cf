"""A trained model as a codec, and the evaluation of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from cvae_edge.architectures.vae import VAE
from cvae_edge.codec import Array, Codec, Graph
from cvae_edge.datasets import load_dataset
from cvae_edge.elbo import Evaluation, evaluate
from cvae_edge.training.run import Run


def trained_codec(vae: VAE) -> Codec:
    """Return trained networks behind numpy arrays, as TensorFlow runs them."""
    return Codec(as_graph(vae.encoder), as_graph(vae.decoder))


def as_graph(network: keras.Model) -> Graph:
    """Return a network, as it is after training, as a function of named arrays."""
    signature = [tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in network.inputs]

    @tf.function(input_signature=signature, jit_compile=False)  # type: ignore[untyped-decorator]
    def call(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = dict(zip(names, values, strict=True))
        return network(inputs if isinstance(network.input, dict) else values[0], training=False)  # type: ignore[no-any-return]

    names = [t.name for t in network.inputs]

    def run(**inputs: Array) -> dict[str, Array]:
        return {n: v.numpy() for n, v in call(*(inputs[name] for name in names)).items()}

    return run


def evaluate_run(
    folder: Path,
    samples: int = 1,
    seed: int = 0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate a run's best weights on the test images of its own data; see ``elbo.evaluate``."""
    run = Run.open(folder)
    codec = trained_codec(run.vae())
    dataset = load_dataset(run.config.data)
    images, binarize = dataset.test.images, dataset.binarize
    return evaluate(codec, images, binarize, run.likelihood(), samples, seed, on_batch=on_batch)
