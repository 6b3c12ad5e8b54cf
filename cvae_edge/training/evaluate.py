"""A trained model as a codec, and the evaluation of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from cvae_edge.datasets import load_dataset
from cvae_edge.elbo import Array, Evaluation, evaluate
from cvae_edge.errors import RunError
from cvae_edge.training.model import VAE
from cvae_edge.training.run import Run


class TrainedCodec:
    """The trained networks behind numpy arrays, as TensorFlow runs them."""

    def __init__(self, vae: VAE) -> None:
        h_w_c, latent_dim = vae.config.image_shape, vae.config.latent_dim
        self._encode = tf.function(
            vae.encoder, input_signature=[tf.TensorSpec((None, *h_w_c))], jit_compile=False
        )
        self._decode = tf.function(
            vae.decoder, input_signature=[tf.TensorSpec((None, latent_dim))], jit_compile=False
        )

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Map x (n, h, w, c) to mean and logvar, each (n, latent_dim)."""
        outputs = self._encode(x)
        return outputs["mean"].numpy(), outputs["logvar"].numpy()

    def decode(self, z: Array) -> Array:
        """Map z (n, latent_dim) to x_logits (n, h, w, c)."""
        x_logits: Array = self._decode(z).numpy()
        return x_logits


def load_trained(run: Run) -> VAE:
    """Build the run's model with its best weights.

    Raises:
        RunError: the training has not ended, or its weights are damaged.
    """
    if run.summary is None:
        done, wanted = len(run.history()), run.config.train.epochs
        raise RunError(
            f"{run.folder} is unfinished, {done} of {wanted} epochs: "
            f"continue it with cvae-edge train --resume --out {run.folder}"
        )
    vae = VAE(run.config.model)
    vae.load_weights(run.read_weights())
    return vae


def evaluate_run(
    folder: Path,
    samples: int = 1,
    seed: int = 0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Evaluate a run's best weights on the test images of its own data; see ``elbo.evaluate``."""
    run = Run.open(folder)
    codec = TrainedCodec(load_trained(run))
    dataset = load_dataset(run.config.data)
    return evaluate(codec, dataset.test.images, dataset.binarize, samples, seed, on_batch=on_batch)
