"""What a likelihood learns beside the weights, while they are trained."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_edge.architectures.vae import VAE
from cvae_edge.config import TrainConfig
from cvae_edge.likelihoods import SMALLEST_SCALE

_FIRST_SCALE = {"gaussian": 0.25, "logistic": 0.15}  # about the pixels' own, which nothing explains
_REACH = 20  # steps over which the best standard deviation is averaged
_GAIN = 10  # of a logistic scale's learning rate over the weights': it has a longer way to go


def make_scale(vae: VAE, config: TrainConfig) -> tf.Variable | None:
    """Return what the likelihood learns beside the weights; None if that is nothing.

    For ``gaussian`` it is the mean squared error, whose root is the best standard deviation
    (sigma-VAE: Rybkin et al. 2021, equation 6), averaged over recent steps; the gradient of the
    loss at the best one is that with the standard deviation held fixed. For ``logistic`` it is a
    share of the logarithm of each channel's scale, which the optimizer trains.
    """
    first = _FIRST_SCALE.get(config.likelihood)
    if first is None:
        return None
    if config.likelihood == "gaussian":
        return tf.Variable(
            first**2, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
    value = np.full(vae.image_shape[2], math.log(first) / _GAIN, np.float32)
    return keras.Variable(value, name="log_scale")


def trained_variables(vae: VAE, scale: Any) -> list[Any]:
    """Return what the optimizer changes: the weights, and a scale that has a gradient."""
    return [*vae.variables, scale] if isinstance(scale, keras.Variable) else vae.variables


def scale_value(scale: Any) -> Any:
    """Return the likelihood's scale of what ``make_scale`` made."""
    if scale is None:
        return None
    if isinstance(scale, keras.Variable):
        return tf.exp(_GAIN * tf.convert_to_tensor(scale))
    return tf.sqrt(tf.maximum(scale, SMALLEST_SCALE**2))


def update_scale(scale: tf.Variable, error: tf.Tensor, step: tf.Tensor) -> None:
    """Take the mean squared error of a replica's part of the step's batch into the average.

    Args:
        scale: what ``make_scale`` made for ``gaussian``.
        error: its parts, over all replicas, add up to that of the whole batch.
        step: its number, from 0; the first sets the average.
    """
    context = tf.distribute.get_replica_context()
    whole = context.all_reduce(tf.distribute.ReduceOp.SUM, error)
    share = 1 / tf.minimum(tf.cast(step, tf.float32) + 1, _REACH)
    scale.assign((1 - share) * scale + share * whole)
