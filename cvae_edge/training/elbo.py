"""The objective in TensorFlow, for gradients; ``cvae_edge.elbo`` has the same formulas in numpy."""

from __future__ import annotations

import keras
import tensorflow as tf


def reparameterize(mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    """Return z = mean + exp(logvar / 2) * eps (Kingma and Welling 2014, section 2.4)."""
    return mean + tf.exp(0.5 * logvar) * eps


def kl_sample(z: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    """Return log q(z|x) - log p(z), (n,), at z = mean + exp(logvar / 2) * eps.

    The normalizers cancel: log q(z|x) has (z - mean)^2 / exp(logvar) = eps^2.
    """
    return 0.5 * tf.reduce_sum(z * z - eps * eps - logvar, axis=1)


def kl_path(z: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Return ``kl_sample``, whose gradient takes no notice of what q is, but for z.

    The part that is left out has the mean 0 and, near the optimum, makes most of the noise (Roeder,
    Wu, Duvenaud 2017, "Sticking the Landing", equation 8).
    """
    mean, logvar = tf.stop_gradient(mean), tf.stop_gradient(logvar)
    return kl_sample(z, logvar, (z - mean) * tf.exp(-0.5 * logvar))


def prior_gain(density: keras.Model, z: tf.Tensor) -> tf.Tensor:
    """Return log p(z) of a learned prior less that of the standard normal, (n,).

    Args:
        density: its network of that role; see ``architectures.flow``.
        z: (n, latent_dim).
    """
    outputs = density({"z": z}, training=False)
    eps, log_det = outputs["eps"], outputs["log_det"]
    return 0.5 * tf.reduce_sum(z * z - eps * eps, axis=1) + log_det[:, 0]


def kl_analytic(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Return KL(q(z|x) || N(0, I)), (n,) (Kingma and Welling 2014, appendix B)."""
    return 0.5 * tf.reduce_sum(mean * mean + tf.exp(logvar) - logvar - 1.0, axis=1)
