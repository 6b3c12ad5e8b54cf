"""A learned prior, fitted to the latents of a trained model.

The networks stay as they are. Each step draws latents anew from the posteriors of training images,
z = mean + exp(logvar / 2) * eps, and makes them likelier: that raises the ELBO, of which log p(z)
is the only part that changes. Validation images choose when to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.architectures.flow import Flow, new_flow
from cvae_edge.codec import Array, Codec
from cvae_edge.config import TrainConfig
from cvae_edge.datasets import Dataset
from cvae_edge.elbo import reparameterize
from cvae_edge.errors import TrainingError
from cvae_edge.interruption import Interruption
from cvae_edge.preprocess import draw_binary
from cvae_edge.training.evaluate import as_graph

_EPOCHS, _SHARE = 60, 4  # of the training images at most; for each epoch of the training
_LEAST_STEPS, _BATCH = 200, 200  # latents a step
_RATE, _FINAL_RATE, _WARMUP = 3e-3, 0.01, 200  # Adam's, at its peak; its end's share; steps
_REACH = 500  # steps, of the weights' moving average
_CLIP = 10.0  # the largest norm of a gradient
_CHECKS = 8  # on validation images; the best of them is kept
_ENCODED = 250  # images at once
_STREAM = 4  # of noise; evaluations draw from stream 0, see also ``summary`` and ``calibration``
OnStep = Callable[[int, int], None]  # steps done, all steps


class FittedPrior(NamedTuple):
    """A prior, and how it was found."""

    flow: Flow
    report: dict[str, Any]  # JSON values


class Posteriors(NamedTuple):
    """q(z|x) of some images, each (n, latent_dim)."""

    mean: Array
    logvar: Array


class Interrupted(Exception):  # noqa: N818 - a request that was met, not an error
    """A signal came, and fitting ended without a result."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def fit_prior(
    codec: Codec,
    dataset: Dataset,
    config: TrainConfig,
    on_step: OnStep = lambda done, steps: None,
    asked: Interruption | None = None,
    epochs: int | None = None,
) -> FittedPrior:
    """Fit a flow to the posteriors of training images; a function of the arguments and the machine.

    Args:
        codec: the trained encoder.
        dataset: whose training images it is fitted to, and whose validation images choose.
        config: of the training; its seed is that of the first weights and of the noise.
        on_step: called after each step.
        asked: tells whether a signal asks to stop.
        epochs: of the training images; None takes four for each of the training's, up to 60.

    Raises:
        ConfigError: there is one latent alone.
        TrainingError: the loss became NaN or infinite.
        Interrupted: a signal came.
    """
    tf.config.experimental.enable_op_determinism()
    started, seed = time.monotonic(), config.seed
    posteriors = _encode(codec, dataset.train.images, dataset, seed)
    epochs = epochs or min(_EPOCHS, _SHARE * config.epochs)
    steps = max(_LEAST_STEPS, epochs * len(dataset.train) // _BATCH)
    held_out = dataset.validation.images
    flow = new_flow(posteriors.mean.shape[1], seed)
    network = flow.density()
    gain = _make_gain(network, _encode(codec, held_out, dataset, seed)) if len(held_out) else None
    # A flow that validates worse than the first, which is the standard normal, is not kept.
    best, kept, kept_step = 0.0, flow, 0
    for done in _train(network, posteriors, seed, steps, on_step, asked):
        now = _read(network)
        found = gain(now) if gain else float(done)
        if found > best:
            best, kept, kept_step = found, now, done
    report = {
        "steps": kept_step,
        "parameters": int(sum(value.size for value in kept.weights.values())),
        "validation_gain": best if gain else None,
        "seconds": round(time.monotonic() - started, 1),
    }
    return FittedPrior(kept, report)


def _encode(codec: Codec, images: NDArray[Any], dataset: Dataset, seed: int) -> Posteriors:
    parts = []
    for low in range(0, len(images), _ENCODED):
        x = draw_binary(images[low : low + _ENCODED], dataset.binarize, seed, low)
        parts.append(codec.encode(x))
    mean, logvar = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Posteriors(mean, logvar)


def _make_gain(network: keras.Model, posteriors: Posteriors) -> Callable[[Flow], float]:
    """Return what measures a flow: the mean of ``Codec.prior_gain`` on these images."""
    n, latent_dim = posteriors.mean.shape
    eps = noise.standard_normal(n, latent_dim, _STREAM)
    z = reparameterize(*posteriors, eps)
    density = as_graph(network)

    def gain(flow: Flow) -> float:
        parts = [Codec(density=density).prior_gain(z[i : i + 1000]) for i in range(0, len(z), 1000)]
        return float(np.concatenate(parts).mean()) + flow.log_determinant()

    return gain


def _read(network: keras.Model) -> Flow:
    """Return the flow of a density network's weights as they are."""
    return Flow(
        {
            f"{layer.name}/{name}": getattr(layer, name).numpy()
            for layer in network.layers
            if isinstance(layer, keras.layers.Dense) and layer.trainable
            for name in ("kernel", "bias")
        }
    )


def _train(
    network: keras.Model,
    posteriors: Posteriors,
    seed: int,
    steps: int,
    on_step: OnStep,
    asked: Interruption | None,
) -> Iterator[int]:
    """Train, and at each check put the averaged weights in place; yield the steps done."""
    variables = network.trainable_variables
    warmup = min(_WARMUP, steps // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), _FINAL_RATE, warmup_target=_RATE, warmup_steps=warmup
    )
    optimizer = keras.optimizers.Adam(
        rate, global_clipnorm=_CLIP, use_ema=True, ema_momentum=1 - 1 / min(_REACH, max(2, steps))
    )
    optimizer.build(variables)
    step = _make_step(network, optimizer, posteriors, seed)
    checks = {round(steps * (i + 1) / _CHECKS) for i in range(_CHECKS)}
    for done in range(1, steps + 1):
        if not np.isfinite(step(tf.constant(done, tf.int64)).numpy()):
            raise TrainingError(
                f"the prior's loss became NaN or infinite in step {done}: try --prior standard"
            )
        on_step(done, steps)
        if asked is not None and asked.signal is not None:
            raise Interrupted(asked.signal)
        if done in checks:
            last = [variable.numpy() for variable in variables]
            optimizer.finalize_variable_values(variables)
            yield done
            for variable, value in zip(variables, last, strict=True):
                variable.assign(value)


def _make_step(
    network: keras.Model, optimizer: keras.Optimizer, posteriors: Posteriors, seed: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    mean, logvar = (tf.constant(values) for values in posteriors)
    n, latent_dim = posteriors.mean.shape
    mixing = _mixing(network)

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def step(number: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.constant(seed, tf.int64), number])
        own = tf.random.stateless_uniform([_BATCH], key, 0, n, tf.int32, alg="philox")
        eps = tf.random.stateless_normal([_BATCH, latent_dim], -key, alg="philox")
        z = tf.gather(mean, own) + tf.exp(0.5 * tf.gather(logvar, own)) * eps
        with tf.GradientTape() as tape:
            outputs = network({"z": z}, training=True)
            squares = tf.reduce_mean(tf.reduce_sum(tf.square(outputs["eps"]), axis=1))
            log_det = tf.reduce_mean(outputs["log_det"])
            for low, high in mixing:  # which the network has as a constant
                log_det += tf.linalg.slogdet(tf.concat([low.kernel, high.kernel], axis=1))[1]
            loss = 0.5 * squares - log_det
        optimizer.apply(tape.gradient(loss, network.trainable_variables))
        return loss

    return step  # type: ignore[no-any-return]


def _mixing(network: keras.Model) -> list[tuple[Any, Any]]:
    """Return the two layers of each linear map."""
    low, high = (
        [layer for layer in network.layers if layer.name.startswith("mix_")
         and layer.name.endswith(half)] for half in ("_low", "_high")
    )  # fmt: skip
    return list(zip(low, high, strict=True))
