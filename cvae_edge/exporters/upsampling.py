"""The decoder's layers above its grid, in each lowering; see ``lowering`` for what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from keras import layers

from cvae_edge.config import ModelConfig
from cvae_edge.exporters.layers import (
    DepthToSpace,
    Reshape,
    convolution,
    parameters,
    transposed_convolution,
)
from cvae_edge.exporters.lowering import (
    BLOCK,
    block_kernel,
    folded_kernel,
    gathering_kernel,
    phase_kernels,
    subpixel_kernel,
)
from cvae_edge.training.model import Weights

Lowering = Literal["transposed", "subpixel", "polyphase", "hybrid"]
# Called with the name and the value of every activation that a quantized graph stores as integers.
Mark = Callable[[str, Any], Any]


def upsample(h: Any, config: ModelConfig, weights: Weights, lowering: Lowering, mark: Mark) -> Any:
    """Add the layers from the grid (n, h, w, c) to x_logits, by ``lowering``."""
    add = {
        "transposed": _transposed,
        "subpixel": _subpixel,
        "polyphase": _polyphase,
        "hybrid": _hybrid,
    }[lowering]
    return add(h, config, weights, mark)


def _transposed(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    for i in range(1, len(config.decoder_filters) + 1):
        kernel, bias = parameters(weights, f"decoder/conv_{i}")
        h = mark(f"up_{i}", transposed_convolution(f"up_{i}", kernel, bias, 2, relu=True)(h))
    kernel, bias = parameters(weights, "decoder/x_logits")
    return transposed_convolution("x_logits", kernel, bias, 1)(h)


def _subpixel(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    last = len(config.decoder_filters)
    for i in range(1, last + 1):
        kernel, bias = parameters(weights, f"decoder/conv_{i}")
        kernel, bias = subpixel_kernel(kernel), np.tile(bias, 4)
        h = layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"pad_{i}")(h)
        h = mark(f"up_{i}", convolution(f"up_{i}", kernel, bias, relu=True)(h))
        if i < last:
            h = DepthToSpace(2, name=f"shuffle_{i}")(h)
    kernel, bias = parameters(weights, "decoder/x_logits")
    return _blocks(h, folded_kernel(kernel), bias, stride=BLOCK // 2)


def _polyphase(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    for i in range(1, len(config.decoder_filters) + 1):
        phases = _phases(f"up_{i}", h, *parameters(weights, f"decoder/conv_{i}"))
        h = mark(f"up_{i}", _interleave(f"up_{i}", phases))
    kernel, bias = parameters(weights, "decoder/x_logits")
    return _blocks(h, block_kernel(kernel), bias, stride=BLOCK)


def _hybrid(h: Any, config: ModelConfig, weights: Weights, mark: Mark) -> Any:
    last = len(config.decoder_filters)
    for i in range(1, last):
        kernel, bias = parameters(weights, f"decoder/conv_{i}")
        h = mark(f"up_{i}", transposed_convolution(f"up_{i}", kernel, bias, 2, relu=True)(h))
    phases = _phases(f"up_{last}", h, *parameters(weights, f"decoder/conv_{last}"))
    h = mark(f"up_{last}", layers.Concatenate(name=f"up_{last}")(phases))
    kernel, bias = parameters(weights, "decoder/x_logits")
    return transposed_convolution("x_logits", gathering_kernel(kernel), bias, 2)(h)


def _phases(name: str, h: Any, kernel: Any, bias: Any) -> list[Any]:
    """Compute a strided layer of (n, h, w, c_in): its four phases, each (n, h, w, c_out)."""
    phases = []
    for (p, q), part in phase_kernels(kernel).items():
        above, left = 1 - p, 1 - q
        pad = layers.ZeroPadding2D(((above, 0), (left, 0)), name=f"pad_{name}_{p}{q}")
        padded = pad(h) if above or left else h
        phases.append(convolution(f"{name}_{p}{q}", part, bias, relu=True)(padded))
    return phases


def _blocks(h: Any, kernel: Any, bias: Any, stride: int) -> Any:
    bias = np.tile(bias, BLOCK * BLOCK)
    h = convolution("blocks", kernel, bias, stride, padding="same")(h)
    return DepthToSpace(BLOCK, name="x_logits")(h)


def _interleave(name: str, phases: list[Any]) -> Any:
    """Put four phases (n, h, w, c) in place, (n, 2h, 2w, c).

    Side by side in memory, two pixels' channels are the pixels of a row twice as long, and two rows
    are rows of an image twice as high: this joins long runs of bytes, where onnxruntime's
    DepthToSpace moves one value at a time.
    """
    height, width, channels = phases[0].shape[1:]
    rows = []
    for p in (0, 1):
        pair = layers.Concatenate(name=f"row_{name}_{p}")(phases[2 * p : 2 * p + 2])
        rows.append(Reshape((height, 2 * width * channels), name=f"long_{name}_{p}")(pair))
    both = layers.Concatenate(name=f"rows_{name}")(rows)
    return Reshape((2 * height, 2 * width, channels), name=name)(both)
