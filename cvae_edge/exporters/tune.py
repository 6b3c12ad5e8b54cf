"""Training on with the rounding in place, so that integers lose nothing.

The networks that files hold, their ranges chosen, are trained on as the run was, on its own images:
kernels and activations are rounded as the files round them, and gradients pass as
``passes.quantize`` says. Encoder and decoder are one pair. Devices mix files, so each of them also
meets the other half of the trained model, which stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_edge import noise
from cvae_edge.codec import Codec
from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.quantize import (
    Scheme,
    channel_peaks,
    linear_layers,
    rounding,
    with_own_kernels,
)
from cvae_edge.exporters.subject import Subject
from cvae_edge.manifest import HALVES
from cvae_edge.preprocess import draw_binary
from cvae_edge.training import elbo
from cvae_edge.training.evaluate import as_graph
from cvae_edge.training.likelihoods import LOG_PROBS

_BATCH, _BATCH_PIXELS = 100, 1 << 17  # images a step, and pixels of all of them; the fewer
_MIXED = 4  # of so many images one meets the trained decoder, and one the trained encoder
_RATE, _FINAL_RATE = 5e-4, 0.02  # of a channel's largest weight, along a half cosine; its end
_REACH = 0.2  # of all steps: of the weights' moving average
_CHECKS = 4  # on the images that choose, evenly spread; the best of them is kept
_NOISE = 1 << 32  # which draws of latents: evaluations take the first few
OnStep = Callable[[int, int], None]  # steps done, all steps


@dataclass(frozen=True)
class Pair:
    """Networks to train on, whose kernels are theirs alone."""

    encoder: keras.Model
    decoder: keras.Model
    scheme: Scheme | None = None  # how kernels are rounded; None: not at all

    def scope(self) -> AbstractContextManager[Any]:
        """Return what both are called in."""
        if self.scheme is None:
            return nullcontext()
        scope: AbstractContextManager[Any] = rounding(self.scheme, self.encoder, self.decoder)
        return scope

    @property
    def variables(self) -> list[Any]:
        """Kernels and biases."""
        layers = [*linear_layers(self.encoder), *linear_layers(self.decoder)]
        return [variable for layer in layers for variable in (layer.kernel, layer.bias)]

    @property
    def sizes(self) -> list[Any]:
        """How large the values of each variable are, by output channel."""
        layers = [*linear_layers(self.encoder), *linear_layers(self.decoder)]
        peaks = [channel_peaks(layer) for layer in layers]
        return [size for peak in peaks for size in (peak, tf.reshape(peak, [-1]))]


class RelativeAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam whose steps are shares of what they change.

    Equalization makes a channel a thousand times as large as another without changing what a
    network computes; steps of one size would change the one too much or the other too little.
    """

    def __init__(self, sizes: list[Any], **options: Any) -> None:
        super().__init__(**options)
        self._sizes = sizes

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable."""
        size = self._sizes[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * size)


def tune(
    subject: Subject, pair: Pair, epochs: float, on_step: OnStep = lambda done, steps: None
) -> dict[str, Any]:
    """Train a pair on, in place; leave it as it was where that would lose more.

    What it ends with is a function of the run and the machine alone. The images that choose say
    which of a few states to keep: the one that loses least over all pairings, and of these the one
    with the highest ELBO.

    Args:
        subject: the trained model and its data.
        pair: marked and lowered networks, or float32 ones.
        epochs: of the training images.
        on_step: called after each step.

    Returns:
        For the report: ``epochs``, ``steps``, ``seconds``; ``before`` and ``after``, by pairing,
        the difference in nats from the trained model on the images that choose; ``tuned``, and
        ``why`` where that is false.
    """
    tf.config.experimental.enable_op_determinism()
    images, batch = len(subject.dataset.train), batch_size(subject.image_shape)
    report: dict[str, Any] = {"epochs": epochs, "tuned": False}
    if images < batch:
        return {**report, "why": f"tuning takes at least {batch} training images, got {images}"}
    report["steps"] = steps = max(1, round(epochs * images / batch))
    started, differences = time.monotonic(), _pairings(subject, pair)
    variables = pair.variables
    first = kept = [variable.numpy() for variable in variables]
    report["before"] = before = best = differences()
    report["why"] = "it ended worse than it began"
    for finite in _train(subject, pair, steps, on_step):
        if not finite:
            kept, best = first, before
            report["why"] = "the loss became NaN or infinite"
            break
        found = differences()
        if _rank(found) > _rank(best):
            kept, best = [variable.numpy() for variable in variables], found
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)
    if kept is not first:
        report["tuned"] = True
        del report["why"]
    return {**report, "after": best, "seconds": round(time.monotonic() - started, 1)}


def batch_size(image_shape: tuple[int, int, int]) -> int:
    """Return how many images of (height, width, channels) a step takes.

    The larger they are, the fewer there often are, and the more one of them says: an epoch takes as
    long in small batches, and has more steps.
    """
    h, w, _ = image_shape
    return min(_BATCH, max(_MIXED, _BATCH_PIXELS // (h * w)))


def train_on(subject: Subject, epochs: float, on_step: OnStep = lambda done, steps: None) -> Codec:
    """Return the trained model trained on for as long, by ``tune``, with nothing rounded.

    What it gains has nothing to do with integers, and is to be seen beside what they gain.
    """
    pair = Pair(*(with_own_kernels(subject.networks[role]) for role in HALVES))
    tune(subject, pair, epochs, on_step)
    return subject.with_pair(as_graph(pair.encoder), as_graph(pair.decoder))


def _pairings(subject: Subject, pair: Pair) -> Callable[[], dict[str, float]]:
    """Return what measures, by pairing, the ELBO less the trained model's."""
    trained = subject.choosing_elbo(subject.trained)
    encoder, decoder = as_graph(pair.encoder, pair.scope), as_graph(pair.decoder, pair.scope)
    codecs = {"pair": subject.with_pair(encoder, decoder)}
    if pair.scheme is not None:
        codecs["encoder"] = subject.with_half("encoder", encoder)
        codecs["decoder"] = subject.with_half("decoder", decoder)
    return lambda: {name: subject.choosing_elbo(c) - trained for name, c in codecs.items()}


def _rank(differences: Mapping[str, float]) -> tuple[float, float]:
    """Return what all pairings lose, negative, and the sum of their differences."""
    return sum(min(0.0, d) for d in differences.values()), sum(differences.values())


def _train(subject: Subject, pair: Pair, steps: int, on_step: OnStep) -> Iterator[bool]:
    """Train, and at each check put the averaged weights in place; yield whether all is finite."""
    variables = pair.variables
    rate = keras.optimizers.schedules.CosineDecay(_RATE, steps, alpha=_FINAL_RATE)
    optimizer = RelativeAdam(
        pair.sizes,
        learning_rate=rate,
        use_ema=True,
        ema_momentum=1 - 1 / max(1.0, _REACH * steps),
    )
    optimizer.build(variables)
    step = _make_step(subject, pair, optimizer)
    checks = {round(steps * (i + 1) / _CHECKS) for i in range(_CHECKS)}
    for done, batch in zip(range(1, steps + 1), _batches(subject), strict=False):
        if not np.isfinite(step(*batch).numpy()):
            yield False
        on_step(done, steps)
        if done in checks:
            last = [variable.numpy() for variable in variables]
            optimizer.finalize_variable_values(variables)
            yield all(np.isfinite(variable.numpy()).all() for variable in variables)
            for variable, value in zip(variables, last, strict=True):
                variable.assign(value)


def _batches(subject: Subject) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yield the images and the noise of one step after the other, without end."""
    images, config = subject.dataset.train.images, subject.run.config.train
    batch = batch_size(subject.image_shape)
    per_epoch = len(images) // batch
    for epoch in count():
        order = noise.permutation(len(images), config.seed, config.epochs + epoch)
        for i in range(per_epoch):
            start = (epoch * per_epoch + i) * batch
            own = images[order[i * batch : (i + 1) * batch]]
            x: Array = draw_binary(own, subject.binarize, config.seed, start)
            eps = noise.standard_normal(batch, subject.vae.latent_dim, config.seed, start, _NOISE)
            yield tf.constant(x), tf.constant(eps)


def _make_step(
    subject: Subject, pair: Pair, optimizer: keras.Optimizer
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    variables, trained = pair.variables, subject.networks
    config, density = subject.run.config.train, trained.get("density")
    log_prob, scale = LOG_PROBS[config.likelihood], tf.constant(subject.likelihood.scale)
    # Some images meet the trained decoder, and as many the trained encoder.
    batch = batch_size(subject.image_shape)
    mixed = 0 if pair.scheme is None else batch // _MIXED
    own = batch - mixed

    def loss(x: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        q = _joined((pair.encoder, x[:own]), (trained["encoder"], x[own:]))
        z = elbo.reparameterize(q["mean"], q["logvar"], eps)
        p = _joined((trained["decoder"], z[:mixed]), (pair.decoder, z[mixed:]))
        log_px = log_prob(x, p["x_logits"], scale)
        kl = elbo.kl_path(z, q["mean"], q["logvar"])
        if density is not None:  # latents must stay where the learned prior has them
            kl -= elbo.prior_gain(density, z)
        return tf.reduce_mean(config.beta * kl - log_px)

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def step(x: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape, pair.scope():
            value = loss(x, eps)
        optimizer.apply(tape.gradient(value, variables), variables)
        return value

    return step  # type: ignore[no-any-return]


def _joined(*parts: tuple[keras.Model, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the outputs of networks, each for its own part of a batch."""
    outputs = [
        network({network.inputs[0].name: part}, training=False)
        for network, part in parts
        if part.shape[0]
    ]
    return {name: tf.concat([each[name] for each in outputs], axis=0) for name in outputs[0]}
