"""A trained model as a codec, and the evaluation of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from cvae_edge.architectures.flow import Flow
from cvae_edge.architectures.vae import VAE
from cvae_edge.codec import Array, Codec, Graph
from cvae_edge.datasets import Dataset, load_dataset
from cvae_edge.elbo import Evaluation, evaluate
from cvae_edge.errors import DataError, RunError
from cvae_edge.folders import temporary_files
from cvae_edge.model_config import PRIORS, require_choice
from cvae_edge.training.run import Run
from cvae_edge.training.run_folder import check_data


def trained_codec(vae: VAE, flow: Flow | None = None) -> Codec:
    """Return trained networks, with a prior or none, behind numpy arrays; TensorFlow runs them."""
    prior = {} if flow is None else {role: as_graph(n) for role, n in flow.networks().items()}
    return Codec(as_graph(vae.encoder), as_graph(vae.decoder), **prior)


def as_graph(
    network: keras.Model, scope: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Graph:
    """Return a network, as it is after training, as a function of named arrays.

    Its weights are what they are at each call; ``scope`` makes what it is called in.
    """
    signature = [tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in network.inputs]

    @tf.function(input_signature=signature, jit_compile=False)  # type: ignore[untyped-decorator]
    def call(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = dict(zip(names, values, strict=True))
        with scope():
            return network(inputs if isinstance(network.input, dict) else values[0], training=False)  # type: ignore[no-any-return]

    names = [t.name for t in network.inputs]

    def run(**inputs: Array) -> dict[str, Array]:
        return {n: v.numpy() for n, v in call(*(inputs[name] for name in names)).items()}

    return run


def load_run_data(run: Run, source: str | None = None) -> Dataset:
    """Read the data of a run, from where it is now or from ``source``.

    Warns:
        DataWarning: it is no longer what the run was trained on.

    Raises:
        DataError: it cannot be read, or is not of the model's shape.
    """
    data = run.data(source)
    dataset = load_dataset(data)
    shape = run.config.model.image_shape
    if dataset.image_shape != shape:
        raise DataError(
            f"the data of {run.folder} must have images of {shape}, as the model was trained on, "
            f"got {dataset.image_shape}"
        )
    check_data(run.folder, data.source, warn=True)
    return dataset


@temporary_files()
def evaluate_run(
    run: Run,
    dataset: Dataset | None = None,
    samples: int = 1,
    seed: int = 0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    prior: str = "auto",
) -> Evaluation:
    """Evaluate a run's best weights on test images, by default its own; see ``elbo.evaluate``.

    ``prior`` is auto (the learned one, where the run has one), flow or standard.

    Raises:
        RunError: flow is asked for, and there is none.
    """
    require_choice("prior", prior, ("auto", *PRIORS))
    flow = None if prior == "standard" else run.flow()
    if prior == "flow" and flow is None:
        raise RunError(f"{run.folder} has no learned prior: cvae-edge prior {run.folder} fits one")
    codec = trained_codec(run.vae(), flow)
    dataset = dataset or load_run_data(run)
    images, binarize = dataset.test.images, dataset.binarize
    return evaluate(codec, images, binarize, run.likelihood(), samples, seed, on_batch=on_batch)
