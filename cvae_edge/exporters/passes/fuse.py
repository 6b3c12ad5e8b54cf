"""Encoder, sampling and decoder as one model, for files that reconstruct."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cvae_edge.exporters.passes.graph import Graph, keep, whole


def fuse(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    """Return x (n, h, w, c) and eps (n, latent_dim) -> {"x_recon"}, (n, h, w, c)."""
    halves = Graph(encoder), Graph(decoder)
    x = keras.Input(halves[0].inputs[0].shape[1:], name="x")
    eps = keras.Input(halves[1].inputs[0].shape[1:], name="eps")
    posterior = halves[0].run([x], keep)
    z = Sample(name="z")([posterior["mean"], posterior["logvar"], eps])
    x_logits = whole(halves[1].run([z], keep)["x_logits"])
    x_recon = layers.Activation("sigmoid", name="x_recon")(x_logits)
    return keras.Model({"x": x, "eps": eps}, {"x_recon": x_recon}, name="reconstruct")


class Sample(layers.Layer):  # type: ignore[misc]
    """mean, logvar and eps, each (n, latent_dim), to z = mean + exp(logvar / 2) * eps."""

    def call(self, inputs: Any) -> Any:
        """Sample, given the noise (Kingma and Welling 2014, section 2.4)."""
        mean, logvar, eps = inputs
        return mean + keras.ops.exp(0.5 * logvar) * eps
