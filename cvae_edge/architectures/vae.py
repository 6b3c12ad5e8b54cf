"""The pair of Keras models that everything else works on, in its one normal form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cvae_edge.architectures.configs import check_config
from cvae_edge.errors import RunError

Weights = dict[str, NDArray[np.float32]]


class VAE:
    """An encoder and a decoder, both functional models without randomness in them.

    Both may hold layers that only act in training (Dropout, BatchNormalization). Called with
    ``training=False``, which is Keras' default, they are the normal form.

    Args:
        encoder: x (n, h, w, c) -> {"mean", "logvar"}, each (n, latent_dim).
        decoder: z (n, latent_dim) -> {"x_logits"}, (n, h, w, c).
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model) -> None:
        self.encoder = encoder
        self.decoder = decoder

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self.encoder.inputs[0].shape[1:]
        return height, width, channels

    @property
    def latent_dim(self) -> int:
        """Latent variables of one image."""
        return int(self.decoder.inputs[0].shape[1])

    @property
    def variables(self) -> list[Any]:
        """Every trainable variable, the encoder's first."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def weights(self) -> Weights:
        """Return a copy of every weight by its name, such as ``encoder/conv_1/kernel``.

        The statistics of BatchNormalization are among them, the seeds of random layers are not.
        """
        return {name: np.array(v.numpy()) for name, v in self._named_weights()}

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set every weight.

        Raises:
            RunError: names or shapes are those of another model.
        """
        named = dict(self._named_weights())
        expected = {name: tuple(v.shape) for name, v in named.items()}
        got = {name: value.shape for name, value in weights.items()}
        if got != expected:
            wrong = sorted(n for n in expected | got if expected.get(n) != got.get(n))
            raise RunError(f"weights are those of another model: {', '.join(wrong[:5])} differ")
        for name, variable in named.items():
            variable.assign(weights[name])

    def architecture(self) -> dict[str, Any]:
        """Return both models without their weights, as plain JSON values."""
        models = {"encoder": self.encoder, "decoder": self.decoder}
        return {role: keras.saving.serialize_keras_object(m) for role, m in models.items()}

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any]) -> VAE:
        """Build the models that ``architecture()`` described, with new weights.

        No code is run from the description: a Lambda layer is refused.

        Raises:
            RunError: it is damaged, or holds a layer whose class is unknown here, which is named.
        """
        for role in ("encoder", "decoder"):
            check_config(architecture.get(role), f"the architecture's {role}")
        try:
            encoder, decoder = (
                keras.saving.deserialize_keras_object(architecture[role], safe_mode=True)
                for role in ("encoder", "decoder")
            )
            vae = cls(encoder, decoder)
            assembled = (*vae.image_shape, vae.latent_dim)
        except Exception as error:  # whatever Keras raises on a description it can't read
            raise RunError(f"the architecture is damaged: {error}") from error
        if not all(isinstance(size, int) for size in assembled):
            raise RunError(f"the architecture must have fixed shapes, got {assembled}")
        return vae

    def _named_weights(self) -> Iterator[tuple[str, Any]]:
        """Yield each weight under a name that follows from the layers' names alone."""
        seen: dict[str, int] = {}
        for role, model in (("encoder", self.encoder), ("decoder", self.decoder)):
            for name, variable in _weights_of(model, role):
                seen[name] = seen.get(name, 0) + 1
                yield (name if seen[name] == 1 else f"{name}_{seen[name]}"), variable


def _weights_of(model: keras.Model, path: str) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model) and hasattr(layer, "layers"):
            yield from _weights_of(layer, f"{path}/{layer.name}")
        else:
            for variable in layer.weights:
                yield f"{path}/{layer.name}/{variable.name}", variable
