"""One optimization step, on one device or many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cvae_edge.architectures.vae import VAE
from cvae_edge.config import TrainConfig, require
from cvae_edge.likelihoods import SMALLEST_SCALE
from cvae_edge.preprocess import Binarize
from cvae_edge.training import elbo
from cvae_edge.training.likelihoods import LOG_PROBS

_FIRST_SCALE = {"gaussian": 0.25, "logistic": 0.15}  # about the pixels' own, which nothing explains
_SCALE_REACH = 100  # steps over which the best standard deviation is averaged
_SMALLEST_SHARD = 8  # images; below, starting an operation costs as much as running it
Step = Callable[[NDArray[Any], int], NDArray[np.float32]]


def make_scale(vae: VAE, config: TrainConfig) -> tf.Variable | None:
    """Return what the likelihood learns beside the weights; None if that is nothing.

    For ``gaussian`` it is the mean squared error, whose root is the best standard deviation
    (sigma-VAE: Rybkin et al. 2021, equation 6), averaged over recent steps; the gradient of the
    loss at the best one is that with the standard deviation held fixed. For ``logistic`` it is the
    logarithm of each channel's scale, which the optimizer trains.
    """
    first = _FIRST_SCALE.get(config.likelihood)
    if first is None:
        return None
    if config.likelihood == "gaussian":
        return tf.Variable(
            first**2, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
    start = np.full(vae.image_shape[2], np.log(first), np.float32)
    return keras.Variable(start, dtype="float32", name="log_scale")


def make_optimizer(
    vae: VAE, scale: Any, config: TrainConfig, steps_per_epoch: int
) -> keras.Optimizer:
    """Return Adam with the recipe's learning rate as a function of its step count.

    Where the recipe averages, the optimizer also keeps an exponential moving average of the weights
    (Polyak and Juditsky 1992); ``finalize_variable_values`` puts it in their place.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    rate: Any = config.learning_rate
    if warmup or config.final_rate < 1:
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else config.learning_rate,
            decay_steps=max(1, config.epochs * steps_per_epoch - warmup),
            alpha=config.final_rate,
            warmup_target=config.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    reach = max(1, round(config.average_epochs * steps_per_epoch))
    averaging = {"use_ema": True, "ema_momentum": 1 - 1 / reach}
    options = averaging if config.average_epochs else {}
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm, **options)
    optimizer.build(trained_variables(vae, scale))
    return optimizer


def trained_variables(vae: VAE, scale: Any) -> list[Any]:
    """Return what the optimizer changes: the weights, and a scale that has a gradient."""
    return [*vae.variables, scale] if isinstance(scale, keras.Variable) else vae.variables


def make_step(
    vae: VAE,
    scale: Any,
    optimizer: keras.Optimizer,
    config: TrainConfig,
    binarize: Binarize,
    strategy: tf.distribute.Strategy,
) -> Step:
    """Return a function that trains on one global batch of images.

    It takes the images (batch_size, h, w, c), uint8 or float32, and the step's number, and returns
    [loss, log p(x|z), KL], float32, in nats per image. Its randomness is a function of
    (config.seed, step): each replica draws the whole batch's noise and takes its own rows, so any
    number of replicas computes the same loss.

    Raises:
        ConfigError: the batch cannot be shared out equally.
    """
    replicas = strategy.num_replicas_in_sync
    require(
        config.batch_size % replicas == 0,
        f"batch_size must be a multiple of the {replicas} replicas",
        config.batch_size,
    )
    rows = config.batch_size // replicas
    replica_step = _make_replica_step(vae, scale, optimizer, config, binarize, rows)

    # XLA's CPU kernels train this model at half the speed.
    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def global_step(images: Any, step: tf.Tensor) -> tf.Tensor:
        per_replica = strategy.run(replica_step, (images, step))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

    def step(images: NDArray[Any], number: int) -> NDArray[np.float32]:
        def own_rows(context: Any) -> tf.Tensor:
            first = context.replica_id_in_sync_group * rows
            return tf.constant(images[first : first + rows])

        distributed = strategy.experimental_distribute_values_from_function(own_rows)
        result: NDArray[np.float32] = global_step(
            distributed, tf.constant(number, tf.int64)
        ).numpy()
        return result

    return step


def _make_replica_step(
    vae: VAE,
    scale: Any,
    optimizer: keras.Optimizer,
    config: TrainConfig,
    binarize: Binarize,
    rows: int,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    variables = trained_variables(vae, scale)
    shards = _shard_sizes(rows)
    log_prob = LOG_PROBS[config.likelihood]
    is_gaussian = config.likelihood == "gaussian"

    def sums(x: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """[loss, log p(x|z), KL, squared error], the first three in nats per image.

        They are summed over the images x, over the global batch's size.
        """
        posterior = vae.encoder(x, training=True)
        mean, logvar = posterior["mean"], posterior["logvar"]
        z = elbo.reparameterize(mean, logvar, eps)
        x_logits = vae.decoder(z, training=True)["x_logits"]
        log_px = log_prob(x, x_logits, _scale(scale, is_gaussian))
        if config.kl == "analytic":
            kl = elbo.kl_analytic(mean, logvar)
        else:
            kl = elbo.kl_sample(z, logvar, eps)
        terms = [config.beta * kl - log_px, log_px, kl]
        if is_gaussian:
            error = tf.square(x - tf.sigmoid(tf.stop_gradient(x_logits)))
            terms.append(tf.reduce_mean(error, axis=[1, 2, 3]))
        return tf.reduce_sum(tf.stack(terms), axis=1) / config.batch_size

    def replica_step(images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        own = slice(replica * rows, (replica + 1) * rows)
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        eps = tf.random.stateless_normal([config.batch_size, vae.latent_dim], seed, alg="philox")[
            own
        ]
        x = _binarize(images, binarize, config.batch_size, own, seed)
        gradients, totals = [], []
        for x_shard, eps_shard in zip(tf.split(x, shards), tf.split(eps, shards), strict=True):
            with tf.GradientTape() as tape:
                total = sums(x_shard, eps_shard)
                loss = total[0]  # inside the tape, or it has no gradient
            gradients.append(tape.gradient(loss, variables))
            totals.append(total)
        summed = [tf.add_n(list(parts)) for parts in zip(*gradients, strict=True)]
        optimizer.apply(summed, variables)  # sums the gradients over the replicas first
        total = tf.add_n(totals)
        if is_gaussian:
            context = tf.distribute.get_replica_context()
            error = context.all_reduce(tf.distribute.ReduceOp.SUM, total[3])
            share = 1 / tf.minimum(tf.cast(step, tf.float32) + 1, _SCALE_REACH)
            scale.assign((1 - share) * scale + share * error)
        return total[:3]

    return replica_step


def _scale(scale: Any, is_gaussian: bool) -> Any:
    """Return the likelihood's scale of what ``make_scale`` made."""
    if scale is None:
        return None
    return tf.sqrt(tf.maximum(scale, SMALLEST_SCALE**2)) if is_gaussian else tf.exp(scale)


def _shard_sizes(rows: int) -> list[int]:
    # On CPUs an operation of this model is too small to fill two cores. Two halves of the batch
    # side by side keep them busier than one whole, whose operations wait for each other.
    if rows < 2 * _SMALLEST_SHARD or tf.config.list_logical_devices("GPU"):
        return [rows]
    return [rows // 2, rows - rows // 2]


def _binarize(
    images: tf.Tensor, how: Binarize, batch_size: int, own: slice, seed: tf.Tensor
) -> tf.Tensor:
    x = tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else images
    if how == "threshold":
        return tf.cast(x >= 0.5, tf.float32)
    if how == "draw":
        # Steps count from 0: a negative one shares no bits with the latents' noise.
        seed = tf.stack([seed[0], -1 - seed[1]])
        u = tf.random.stateless_uniform([batch_size, *x.shape[1:]], seed, alg="philox")
        return tf.cast(u[own] < x, tf.float32)
    return x
