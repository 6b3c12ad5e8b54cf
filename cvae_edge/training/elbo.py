"""The objective in TensorFlow, for gradients; ``cvae_edge.elbo`` has the same formulas in numpy."""

from __future__ import annotations

import tensorflow as tf


def reparameterize(mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    """Return z = mean + exp(logvar / 2) * eps (Kingma and Welling 2014, section 2.4)."""
    return mean + tf.exp(0.5 * logvar) * eps


def kl_sample(z: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    """Return log q(z|x) - log p(z), (n,), at z = mean + exp(logvar / 2) * eps.

    The normalizers cancel: log q(z|x) has (z - mean)^2 / exp(logvar) = eps^2.
    """
    return 0.5 * tf.reduce_sum(z * z - eps * eps - logvar, axis=1)


def kl_analytic(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Return KL(q(z|x) || N(0, I)), (n,) (Kingma and Welling 2014, appendix B)."""
    return 0.5 * tf.reduce_sum(mean * mean + tf.exp(logvar) - logvar - 1.0, axis=1)
