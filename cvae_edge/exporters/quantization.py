"""Int8 by simulation: equalization and ranges, chosen by the ELBO on validation images.

A network that rounds its kernels, and each activation, computes what the integer file will, up to
the rounding inside integer kernels. So choosing needs no conversion, and can go by the ELBO.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cvae_edge.elbo import Array, evaluate
from cvae_edge.exporters.calibration import Range, candidates, observe
from cvae_edge.exporters.equalization import equalize, peaks
from cvae_edge.exporters.networks import decoder_network, encoder_network
from cvae_edge.exporters.subject import Subject
from cvae_edge.exporters.upsampling import Lowering, Mark
from cvae_edge.training.model import Weights

_ALPHAS = (0.25, 0.5, 0.75, 1.0)
_CHOOSING_IMAGES = 1000
_DENSE_LEVELS = 127


@dataclass(frozen=True)
class Scheme:
    """How int8 is done in one format."""

    conv_levels: int  # kernels of convolutions go from -levels to levels
    float_dense: bool  # dense layers compute with floats; only their kernels are stored as int8

    @property
    def skipped(self) -> tuple[str, ...]:
        """Activations that stay float."""
        return ("z", "mean", "logvar") if self.float_dense else ()


# ONNX, 7 bits: AVX2 kernels without VNNI add two u8 * s8 products in 16 bits. 2 * 255 * 64 = 32,640
# fits, 2 * 255 * 127 saturates: this is right on every processor. Its dense layers are a small part
# of the work and cost the most nats, by rounding z, so they keep to floats.
SCHEMES = {
    "onnx": Scheme(conv_levels=64, float_dense=True),
    "tflite": Scheme(conv_levels=127, float_dense=False),
}


@dataclass(frozen=True)
class Plan:
    """Weights to quantize, every activation's range, and how they were chosen."""

    weights: Weights
    ranges: dict[str, Range]
    choices: dict[str, str]  # by activation the method, and "equalization"
    simulated_elbo_difference: float  # from the trained model's, on the images that chose


def make_plan(
    subject: Subject, role: str, scheme: Scheme, lowering: Lowering, inputs: Mapping[str, Array]
) -> Plan:
    """Choose the equalization first, then one activation's range after the other.

    Args:
        subject: the trained model and its data.
        role: encoder or decoder.
        scheme: what the format does.
        lowering: the decoder's.
        inputs: the calibration set.
    """
    own = {"x": inputs["x"]} if role == "encoder" else {"z": inputs["z"]}

    def build(weights: Weights, mark: Mark) -> keras.Model:
        if role == "encoder":
            return encoder_network(subject.config, weights, "channels_last", mark)
        return decoder_network(subject.config, weights, "channels_last", lowering, mark)

    values = observe(lambda mark: build(subject.weights, mark), own)
    trials = {"none": subject.weights}
    for alpha in _ALPHAS:
        weights = equalize(subject.weights, role, peaks(values, subject.weights, role), alpha)
        trials[f"alpha {alpha:g}"] = weights
    simulations = {
        name: _Simulation(subject, role, scheme, partial(build, weights), own)
        for name, weights in trials.items()
    }
    scores = {name: simulation.elbo() for name, simulation in simulations.items()}
    best = max(scores, key=lambda name: scores[name])
    choices, elbo = simulations[best].choose_ranges(scores[best])
    return Plan(
        trials[best],
        simulations[best].ranges(),
        {"equalization": best, **choices},
        elbo - simulations[best].trained_elbo(),
    )


class _Simulation:
    """A network with rounded kernels and activations, whose ranges can be changed."""

    def __init__(
        self,
        subject: Subject,
        role: str,
        scheme: Scheme,
        build: Callable[[Mark], keras.Model],
        inputs: Mapping[str, Array],
    ) -> None:
        self._candidates = {
            name: candidates(value, is_logits=name == "x_logits")
            for name, value in observe(build, inputs).items()
            if name not in scheme.skipped
        }
        self._chosen = {name: next(iter(c)) for name, c in self._candidates.items()}
        if "symmetric min-max" in self._candidates.get("x_logits", ()):
            self._chosen["x_logits"] = "symmetric min-max"  # nearly always the best
        self._marks = {name: FakeQuantize(*self.ranges()[name], name) for name in self._candidates}
        self._network = build(lambda name, v: self._marks[name](v) if name in self._marks else v)
        round_kernels(self._network, scheme)
        self._call = tf.function(self._network, jit_compile=False)
        self._subject, self._is_encoder = subject, role == "encoder"

    def encode(self, x: Array) -> tuple[Array, Array]:
        """As a codec: through this network if it is the encoder."""
        if not self._is_encoder:
            return self._subject.trained.encode(x)
        outputs = self._call({"x": x})
        return outputs["mean"].numpy(), outputs["logvar"].numpy()

    def decode(self, z: Array) -> Array:
        """As a codec: through this network if it is the decoder."""
        if self._is_encoder:
            return self._subject.trained.decode(z)
        x_logits: Array = self._call({"z": z})["x_logits"].numpy()
        return x_logits

    def elbo(self) -> float:
        """The ELBO on the images that choose."""
        images = self._subject.choosing.images[:_CHOOSING_IMAGES]
        return evaluate(self, images, self._subject.dataset.binarize).elbo

    def trained_elbo(self) -> float:
        """The trained model's ELBO on the same images."""
        images = self._subject.choosing.images[:_CHOOSING_IMAGES]
        return evaluate(self._subject.trained, images, self._subject.dataset.binarize).elbo

    def ranges(self) -> dict[str, Range]:
        """The ranges that are chosen now."""
        return {name: self._candidates[name][method] for name, method in self._chosen.items()}

    def choose_ranges(self, elbo: float) -> tuple[dict[str, str], float]:
        """Try every method for each activation in turn; return the best and their ELBO."""
        for name, ranges in self._candidates.items():
            for method, candidate in ranges.items():
                if method == self._chosen[name]:
                    continue
                self._marks[name].set_range(*candidate)
                trial = self.elbo()
                if trial > elbo:
                    elbo, self._chosen[name] = trial, method
            self._marks[name].set_range(*self.ranges()[name])
        return dict(self._chosen), elbo


def round_kernels(network: keras.Model, scheme: Scheme) -> None:
    """Round every kernel to the integers of ``scheme``, symmetric, in place."""
    for layer in network.layers:
        if not isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose):
            continue
        kernel = layer.kernel.numpy()
        out = 2 if isinstance(layer, layers.Conv2DTranspose) else kernel.ndim - 1
        others = tuple(axis for axis in range(kernel.ndim) if axis != out)
        levels = _DENSE_LEVELS if kernel.ndim == 2 else scheme.conv_levels
        scale = np.abs(kernel).max(axis=others, keepdims=True) / levels
        scale = np.maximum(scale, np.finfo(np.float32).tiny)  # a channel of zeros
        layer.kernel.assign(np.rint(kernel / scale) * scale)


def fake_quantize(ranges: Mapping[str, Range]) -> Mark:
    """Return a mark that rounds each activation to 8 bits in its range."""
    return lambda name, value: FakeQuantize(*ranges[name], name)(value) if name in ranges else value


class FakeQuantize(layers.Layer):  # type: ignore[misc]
    """Rounds to 256 levels from ``low`` to ``high``; TFLite's converter takes its range from it."""

    def __init__(self, low: float, high: float, name: str) -> None:
        super().__init__(name=f"quantize_{name}")
        self._low = self.add_weight((), keras.initializers.Constant(low), trainable=False)
        self._high = self.add_weight((), keras.initializers.Constant(high), trainable=False)

    def set_range(self, low: float, high: float) -> None:
        """Change the range, without tracing the network again."""
        self._low.assign(low)
        self._high.assign(high)

    def call(self, x: Any) -> Any:
        """Round one tensor."""
        return tf.quantization.fake_quant_with_min_max_vars(x, self._low, self._high)
