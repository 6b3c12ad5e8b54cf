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
from cvae_edge.preprocess import Binarize
from cvae_edge.training import elbo
from cvae_edge.training.layer_state import LayerState
from cvae_edge.training.likelihoods import LOG_PROBS
from cvae_edge.training.pasting import paste_patches
from cvae_edge.training.scale import scale_value, trained_variables, update_scale

_SMALLEST_SHARD = 8  # images; below, starting an operation costs as much as running it
Step = Callable[[NDArray[Any], int], NDArray[np.float32]]


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
    optimizer = keras.optimizers.Adam(rate, **options)
    optimizer.build(trained_variables(vae, scale))
    return optimizer


def make_step(
    vae: VAE,
    scale: Any,
    optimizer: keras.Optimizer,
    config: TrainConfig,
    binarize: Binarize,
    strategy: tf.distribute.Strategy,
    state: LayerState | None = None,
) -> Step:
    """Return a function that trains on one global batch of images.

    It takes the images (batch_size, h, w, c), uint8 or float32, and the step's number, and returns
    [loss, log p(x|z), KL], float32, in nats per image. Its randomness is a function of
    (config.seed, step): each replica draws the whole batch's noise and takes its own rows, so any
    number of replicas computes the same loss. Layers with randomness of their own draw anew for
    each replica, and statistics over a batch are those of a replica's part of it.

    Args:
        vae: the networks.
        scale: of the likelihood; see ``make_scale``.
        optimizer: of the weights.
        config: the recipe.
        binarize: what is done to the images first.
        strategy: the replicas.
        state: of ``vae``; None makes one.

    Raises:
        ConfigError: the batch cannot be shared out equally.
    """
    replicas = strategy.num_replicas_in_sync
    require_equal_shares(config, replicas)
    state = state or LayerState(vae, None)
    replica_step = _make_replica_step(vae, scale, optimizer, config, binarize, state, replicas)

    # XLA's CPU kernels train this model at half the speed.
    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def global_step(images: Any, step: tf.Tensor) -> tf.Tensor:
        per_replica, statistics = strategy.run(replica_step, (images, step))
        mean = tf.distribute.ReduceOp.MEAN
        state.update([strategy.reduce(mean, value, axis=None) for value in statistics], step)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

    rows = config.batch_size // replicas

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


def require_equal_shares(config: TrainConfig, replicas: int) -> None:
    """Raise ConfigError unless the batch can be shared out equally."""
    require(
        config.batch_size % replicas == 0,
        f"batch_size must be a multiple of the {replicas} replicas",
        config.batch_size,
    )


def _make_replica_step(
    vae: VAE,
    scale: Any,
    optimizer: keras.Optimizer,
    config: TrainConfig,
    binarize: Binarize,
    state: LayerState,
    replicas: int,
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]:
    variables = trained_variables(vae, scale)
    rows = config.batch_size // replicas
    # Statistics are over a batch: in halves they would be others.
    shards = [rows] if state.statistics else _shard_sizes(rows)
    sums = _make_sums(vae, scale, config)

    def replica_step(images: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        own = slice(replica * rows, (replica + 1) * rows)
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        eps = tf.random.stateless_normal([config.batch_size, vae.latent_dim], seed, alg="philox")[
            own
        ]
        x = _binarize(images, binarize, config.batch_size, own, seed)
        seen = paste_patches(x, config.paste, config.batch_size, own, seed) if config.paste else x
        gradients, totals = [], []
        parts = zip(*(tf.split(part, shards) for part in (seen, x, eps)), strict=True)
        for i, shard in enumerate(parts):
            scope = state.scope(config.seed, step, replica * len(shards) + i)
            with tf.GradientTape() as tape, scope:
                total = sums(*shard)
                loss = total[0]  # inside the tape, or it has no gradient
            gradients.append(
                tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            )
            totals.append(total)
        statistics = state.read(scope)
        summed = [tf.add_n(list(parts)) for parts in zip(*gradients, strict=True)]
        if config.clip_norm is not None:
            summed = _clip(summed, config.clip_norm, replicas)
        optimizer.apply(summed, variables)  # sums the gradients over the replicas first
        total = tf.add_n(totals)
        if config.likelihood == "gaussian":
            update_scale(scale, total[3], step)
        return total[:3], statistics

    return replica_step


def _make_sums(
    vae: VAE, scale: Any, config: TrainConfig
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    log_prob = LOG_PROBS[config.likelihood]

    def sums(seen: tf.Tensor, x: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """[loss, log p(x|z), KL], in nats per image, and for gaussian the squared error.

        They are summed over the images x, over the global batch's size. What the encoder sees of
        these differs by what was pasted.
        """
        posterior = vae.encoder(seen, training=True)
        mean, logvar = posterior["mean"], posterior["logvar"]
        z = elbo.reparameterize(mean, logvar, eps)
        x_logits = vae.decoder(z, training=True)["x_logits"]
        log_px = log_prob(x, x_logits, scale_value(scale))
        if config.kl == "analytic":
            kl = elbo.kl_analytic(mean, logvar)
        else:
            kl = elbo.kl_sample(z, logvar, eps)
        loss = config.beta * kl - log_px
        if penalties := [*vae.encoder.losses, *vae.decoder.losses]:
            loss += tf.add_n(penalties)  # for each image, so that shards add up to them once
        terms = [loss, log_px, kl]
        if config.likelihood == "gaussian":
            error = tf.square(x - tf.sigmoid(tf.stop_gradient(x_logits)))
            terms.append(tf.reduce_mean(error, axis=[1, 2, 3]))
        return tf.reduce_sum(tf.stack(terms), axis=1) / config.batch_size

    return sums


def _clip(gradients: list[tf.Tensor], norm: float, replicas: int) -> list[tf.Tensor]:
    """Clip the whole batch's gradient by its norm; return a replica's share of it."""
    context = tf.distribute.get_replica_context()
    whole = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    clipped, _ = tf.clip_by_global_norm(whole, norm)
    return [gradient / replicas for gradient in clipped]


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
