"""Even out the channels between layers before quantization; exact in float.

ReLU(s * h) = s * ReLU(h) for s > 0, so a channel that one layer divides by s and the next one
multiplies by s changes nothing (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.1). One scale then fits all channels of an activation
and of a kernel.
How much of the unevenness goes from the activations to the weights is alpha:
s = max|h|^alpha / max|w|^(1 - alpha), per channel (Xiao et al. 2023, "SmoothQuant", equation 4).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cvae_edge.elbo import Array
from cvae_edge.training.model import Weights

# (layer, the layer that follows it), each with a ReLU between them.
PAIRS = {
    "encoder": (("encoder/conv_1", "encoder/conv_2"), ("encoder/conv_2", "encoder/posterior")),
    "decoder": (
        ("decoder/grid", "decoder/conv_1"),
        ("decoder/conv_1", "decoder/conv_2"),
        ("decoder/conv_2", "decoder/x_logits"),
    ),
}
# The activation after each layer's ReLU, as networks.py marks it.
_ACTIVATIONS = {
    "encoder/conv_1": "conv_1",
    "encoder/conv_2": "conv_2",
    "decoder/grid": "grid",
    "decoder/conv_1": "up_1",
    "decoder/conv_2": "up_2",
}
_SMALLEST = 1e-3  # of the largest channel: what is hardly ever active must not blow up


def equalize(weights: Weights, role: str, peaks: Mapping[str, Array], alpha: float) -> Weights:
    """Return weights of the same function with evener channels.

    Args:
        weights: the trained ones.
        role: encoder or decoder.
        peaks: by layer, each channel's largest activation after the ReLU, (channels,).
        alpha: 0 evens out the weights, 1 the activations.
    """
    result = dict(weights)
    for layer, following in PAIRS[role]:
        peak = np.maximum(peaks[layer], _SMALLEST * peaks[layer].max())
        kernel = result[f"{following}/kernel"]
        axis = _input_axis(following)
        by_channel = np.moveaxis(kernel, axis, -1)
        by_channel = (
            by_channel.reshape(-1, len(peak)) if kernel.ndim == 4 else _unflat(kernel, peak)
        )
        width = np.abs(by_channel).max(axis=0)
        width = np.maximum(width, _SMALLEST * width.max())
        scale = (peak**alpha / width ** (1 - alpha)).astype(np.float32)
        scale /= np.exp(np.log(scale).mean())
        result[f"{following}/kernel"] = _scale_inputs(kernel, scale, axis)
        result |= _divide_outputs(result, layer, scale)
    return result


def peaks(values: Mapping[str, Array], weights: Weights, role: str) -> dict[str, Array]:
    """Return each channel's largest activation after each ReLU, from observed activations."""
    result = {}
    for layer, following in PAIRS[role]:
        kernel = weights[f"{following}/kernel"]
        if following == "encoder/posterior":
            channels = weights[f"{layer}/kernel"].shape[-1]
        else:
            channels = kernel.shape[_input_axis(following)]
        # In a low-resolution lowering a channel's four phases lie side by side, as further columns.
        result[layer] = values[_ACTIVATIONS[layer]].reshape(-1, channels).max(axis=0)
    return result


def _input_axis(layer: str) -> int:
    """Transposed convolutions keep their input channels last."""
    return -1 if layer.startswith("decoder") else -2


def _unflat(kernel: Array, peak: Array) -> Array:
    """A dense kernel (h * w * channels, units) as (h * w * units, channels)."""
    return kernel.reshape(-1, len(peak), kernel.shape[1]).transpose(0, 2, 1).reshape(-1, len(peak))


def _scale_inputs(kernel: Array, scale: Array, axis: int) -> Array:
    if kernel.ndim == 2:
        return kernel * np.tile(scale, len(kernel) // len(scale))[:, np.newaxis]
    return kernel * (scale if axis == -1 else scale[:, np.newaxis])


def _divide_outputs(weights: Weights, layer: str, scale: Array) -> Weights:
    kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
    repeated = np.tile(
        scale, len(bias) // len(scale)
    )  # the grid's dense layer has h * w * channels
    transposed = layer.startswith("decoder/conv")
    return {
        f"{layer}/kernel": kernel / (repeated[:, np.newaxis] if transposed else repeated),
        f"{layer}/bias": bias / repeated,
    }
