"""What layers change themselves when they are called in training: random seeds and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from cvae_edge.architectures.vae import VAE

_PLACES = 1 << 16  # more than a step has of replicas and shards together


class LayerState:
    """The seeds of dropout and its like, and the statistics of batch normalization and its like.

    A step neither reads nor writes a seed of a layer: it gives each one that follows from the
    training's seed and the step, so that a training that was resumed draws what it would have
    drawn. Statistics are written once a step, their mean over the replicas.
    """

    def __init__(self, vae: VAE, average_momentum: float | None) -> None:
        """Find them; with a momentum, keep a moving average of the statistics as well."""
        weights = [*vae.encoder.weights, *vae.decoder.weights]
        known = {id(v) for v in weights}
        variables = [*vae.encoder.variables, *vae.decoder.variables]
        self._seeds = [v for v in variables if id(v) not in known]
        self._momentum = average_momentum
        self.statistics = [v for v in weights if not v.trainable]
        # The weights' averages need statistics that belong to them.
        averaged = [] if average_momentum is None else self.statistics
        self.averages = [tf.Variable(v.numpy(), trainable=False) for v in averaged]

    def scope(self, seed: int, step: tf.Tensor, place: tf.Tensor) -> AbstractContextManager[Any]:
        """Return what layers must be called in, in training.

        Args:
            seed: the training's.
            step: its number.
            place: the number of the replica's shard among all shards of the step.
        """
        if not self._seeds and not self.statistics:
            return nullcontext()
        # A negative seed shares no bits with the latents' noise.
        key = tf.stack(
            [tf.constant(-1 - seed, tf.int64), step * _PLACES + tf.cast(place, tf.int64)]
        )
        draws = tf.random.stateless_uniform(
            [len(self._seeds), 2], key, 0, 2**31 - 1, tf.int32, alg="philox"
        )
        values = [tf.cast(draws[i], v.dtype) for i, v in enumerate(self._seeds)]
        return keras.StatelessScope(state_mapping=list(zip(self._seeds, values, strict=True)))  # type: ignore[no-any-return]

    def read(self, scope: Any) -> list[tf.Tensor]:
        """Return the statistics after the calls in ``scope``."""
        if not self.statistics:
            return []
        values = [scope.get_current_value(v) for v in self.statistics]
        return [
            tf.convert_to_tensor(variable) if value is None else value
            for variable, value in zip(self.statistics, values, strict=True)
        ]

    def update(self, values: Sequence[tf.Tensor], step: tf.Tensor) -> None:
        """Set the statistics, outside of replicas, and average them as the optimizer does weights.

        Args:
            values: their means over the replicas.
            step: its number, from 0.
        """
        for variable, value in zip(self.statistics, values, strict=True):
            variable.assign(value)
        if self._momentum is not None:
            kept = tf.where(step == 0, 0.0, self._momentum)
            for average, value in zip(self.averages, values, strict=True):
                average.assign(kept * average + (1 - kept) * value)
