"""log p(x|z) in TensorFlow, for gradients; ``cvae_edge.likelihoods`` has the same in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from cvae_edge.likelihoods import LEVELS

# Maps x and x_logits (n, h, w, c), and the scale, to log p(x|z), (n,).
LogProb = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def log_bernoulli(x: tf.Tensor, x_logits: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Return log p(x|z), (n,), summed over pixels; there is no scale."""
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x_logits)
    return -tf.reduce_sum(entropy, axis=[1, 2, 3])


def log_gaussian(x: tf.Tensor, x_logits: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Return the log-density, (n,), of a normal distribution around sigmoid(x_logits)."""
    residual = (x - tf.sigmoid(x_logits)) / scale
    terms = -0.5 * residual * residual - tf.math.log(scale) - 0.5 * math.log(2 * math.pi)
    return tf.reduce_sum(terms, axis=[1, 2, 3])


def log_logistic(x: tf.Tensor, x_logits: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Return log p(x|z), (n,), of a discretized logistic distribution (Salimans et al. 2017)."""
    half = 0.5 / (LEVELS - 1)
    centred = tf.round(x * (LEVELS - 1)) / (LEVELS - 1) - tf.sigmoid(x_logits)
    log_upper = -tf.nn.softplus((-half - centred) / scale)
    log_lower = -tf.nn.softplus((centred - half) / scale)
    inside = log_upper + log_lower + tf.math.log(-tf.math.expm1(-2 * half / scale))
    terms = tf.where(x < half, log_upper, tf.where(x > 1 - half, log_lower, inside))
    return tf.reduce_sum(terms, axis=[1, 2, 3])


LOG_PROBS: dict[str, LogProb] = {
    "bernoulli": log_bernoulli,
    "gaussian": log_gaussian,
    "logistic": log_logistic,
}
