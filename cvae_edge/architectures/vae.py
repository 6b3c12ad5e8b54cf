"""A VAE as a pair of Keras models in one form."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cvae_edge.errors import RunError
from cvae_edge.manifest import HALVES

Weights = dict[str, NDArray[np.float32]]


class VAE:
    """An encoder and a decoder, functional Keras models without randomness when they are called.

    The encoder maps ``x`` (n, h, w, c) to ``mean`` and ``logvar``, each (n, latent_dim), the
    decoder ``z`` (n, latent_dim) to ``x_logits`` (n, h, w, c); outputs are dictionaries. Layers
    that behave otherwise in training, such as dropout and batch normalization, may be among them.
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model) -> None:
        self.encoder, self.decoder = encoder, decoder

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        h, w, c = self.encoder.inputs[0].shape[1:]
        return h, w, c

    @property
    def latent_dim(self) -> int:
        """Values of a latent."""
        return int(self.decoder.inputs[0].shape[1])

    @property
    def variables(self) -> list[Any]:
        """Every trainable variable, the encoder's first."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def weights(self) -> Weights:
        """Return a copy of every weight, statistics of batch normalization too, by its path.

        A path is like ``encoder/conv_1/kernel``; where two weights share one it is numbered.
        """
        return {name: np.array(v.numpy()) for name, v in self._named().items()}

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set every weight.

        Raises:
            RunError: names or shapes are those of another model.
        """
        named = self._named()
        expected = {name: tuple(v.shape) for name, v in named.items()}
        got = {name: value.shape for name, value in weights.items()}
        if got != expected:
            wrong = sorted(n for n in expected | got if expected.get(n) != got.get(n))
            raise RunError(f"weights are those of another model: {', '.join(wrong[:8])} differ")
        for name, variable in named.items():
            variable.assign(weights[name])

    def architecture(self) -> dict[str, Any]:
        """Return both models' layers as plain JSON values, without weights."""
        halves = zip(HALVES, (self.encoder, self.decoder), strict=True)
        return {role: keras.saving.serialize_keras_object(half) for role, half in halves}

    @classmethod
    def from_architecture(cls, fields: Mapping[str, Any]) -> VAE:
        """Build the models anew; no code that the fields hold is ever run.

        Raises:
            RunError: they are damaged, are no pair, or hold a layer of a class that this process
                does not know.
        """
        try:
            # Copies: Keras empties what it reads.
            halves = [
                keras.saving.deserialize_keras_object(copy.deepcopy(fields[role]), safe_mode=True)
                for role in HALVES
            ]
        except Exception as error:  # Keras raises whatever a layer's constructor raises
            raise RunError(
                f"the run's architecture cannot be built: {reason(error)}; register layers of your "
                "own with keras.saving.register_keras_serializable before"
            ) from error
        if not _is_pair(*halves):
            raise RunError(
                "the run's architecture must be an encoder from x to mean and logvar, and a "
                "decoder from z to x_logits: it is damaged"
            )
        return cls(*halves)

    def _named(self) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for role, half in zip(HALVES, (self.encoder, self.decoder), strict=True):
            for variable in half.weights:
                path = variable.path.removeprefix(f"{role}/")
                name, i = f"{role}/{path}", 1
                while name in named:
                    i += 1
                    name = f"{role}/{path}_{i}"
                named[name] = variable
        return named


def _is_pair(encoder: Any, decoder: Any) -> bool:
    """Return whether two objects are models of the form that ``VAE`` describes."""
    if not all(isinstance(half, keras.Model) for half in (encoder, decoder)):
        return False
    z, latents = {t.name: t.shape for t in decoder.inputs}, [t.shape for t in encoder.outputs]
    x, images = {t.name: t.shape for t in encoder.inputs}, [t.shape for t in decoder.outputs]
    named = isinstance(encoder.output, dict) and isinstance(decoder.output, dict)
    return (
        named
        and (set(encoder.output), set(decoder.output)) == ({"mean", "logvar"}, {"x_logits"})
        and (set(x), set(z)) == ({"x"}, {"z"})
        and (latents, images) == ([z["z"]] * 2, [x["x"]])
        and (len(x["x"]), len(z["z"])) == (4, 2)
    )


def reason(error: Exception) -> str:
    """Return the sentence of Keras' and TensorFlow's long messages that says why."""
    unknown = re.search(r"[Cc]ould not (locate class|deserialize) '[\w.]+'", str(error))
    if unknown:
        return "c" + unknown[0][1:]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    sentence = (lines or [type(error).__name__])[0].partition(". Example error message")[0]
    return sentence.removesuffix(".")[:300]


def initializers(seed: int, network: int) -> Any:
    """Yield Keras' default initializer, each with a seed of its own.

    Args:
        seed: of the model.
        network: 0 for an encoder, 1 for a decoder.
    """
    state = np.random.Philox(key=seed | network << 64)
    while True:
        yield keras.initializers.GlorotUniform(seed=int(state.random_raw() >> np.uint64(33)))
