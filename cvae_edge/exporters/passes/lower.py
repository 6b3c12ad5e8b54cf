"""Lowering: what enlarges images, as plain convolutions; exact.

Three forms of a layer that enlarges (a strided transposed convolution, or nearest upsampling before
a convolution) and of one with few output channels, where a processor computes 16 at a time:

- *phases*: a plain convolution for each phase (output row mod s, output column mod s), put in place
  as runs of bytes: the layer's own products and no others;
- *blocks*: one plain convolution for blocks of B x B pixels as channels, some of whose products are
  with zeros, and depth-to-space: few operators, full registers, little memory;
- *gathering*: a stride-1 layer as one transposed convolution that takes the phases as they are.

Lowerings choose among them:

- `transposed`: none of them.
- `subpixel`: blocks of s everywhere; the last layer is folded into the low-resolution grid. Least
  memory in TFLite Micro.
- `phases`: phases everywhere; no depth-to-space and no stride above 1, neither of which an Arm
  Ethos-U has for such layers.
- `polyphase`: phases, but blocks where they take fewer products, counted in full registers.
- `hybrid`: for onnxruntime in floating point, where small transposed convolutions are quick and
  depth-to-space is not: only a strided layer before one with few channels is split into phases, and
  that gathers them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from cvae_edge.exporters.passes.graph import Call, Graph, keep, whole
from cvae_edge.exporters.passes.kinds import is_elementwise
from cvae_edge.exporters.passes.layers import constant, crop
from cvae_edge.exporters.passes.linear import Linear, linear_of
from cvae_edge.exporters.passes.packed import Packed, Upsampled

LOWERINGS = ("transposed", "subpixel", "phases", "polyphase", "hybrid")


def lower(model: keras.Model, lowering: str) -> keras.Model:
    """Return the same function with its enlarging layers lowered.

    Args:
        model: normalized; see ``normalize``.
        lowering: one of ``LOWERINGS``.
    """
    return model if lowering == "transposed" else _Lowering(Graph(model), lowering).apply()


class _Lowering:
    def __init__(self, graph: Graph, lowering: str) -> None:
        self._graph, self._lowering = graph, lowering

    def apply(self) -> keras.Model:
        return self._graph.rebuild(self._rule)

    def _rule(self, call: Call, *args: Any, **kwargs: Any) -> Any:
        layer, x = call.layer, args[0] if args else None
        if is_elementwise(layer) and isinstance(x, Packed):
            return replace(x, pending=(*x.pending, call))
        if is_elementwise(layer) and isinstance(x, Upsampled):
            return replace(x, small=layer(x.small))
        if isinstance(layer, layers.UpSampling2D) and layer.interpolation == "nearest":
            return Upsampled(whole(x), call)
        linear = linear_of(layer, x)
        if linear is None:
            return keep(call, *args, **kwargs)
        if linear.scale == (1, 1):
            return self._even(call, linear, x)
        return self._enlarging(call, linear, x.small if isinstance(x, Upsampled) else whole(x))

    def _enlarging(self, call: Call, linear: Linear, x: Any) -> Any:
        size = linear.rows.size_out, linear.columns.size_out
        s, t = linear.scale
        if self._lowering == "hybrid" and isinstance(call.layer, layers.Conv2DTranspose):
            if not self._feeds_few(call):
                return call.layer(x)
        elif self._lowering == "subpixel" and s == t:
            return Packed([linear.convolve(x, *linear.blocks(s))], (s, s), size)
        phases = linear.phases()
        products = sum(linear.products(*phase) for phase in phases) / len(phases)
        block = self._best_block(linear, products) if s == t else None
        if block is not None:
            return Packed([linear.convolve(x, *linear.blocks(block))], (block, block), size)
        return Packed([linear.convolve(x, *phase) for phase in phases], (s, t), size)

    def _even(self, call: Call, linear: Linear, x: Any) -> Any:
        """Lower a layer of stride 1: blocks if its channels are few, else as it is."""
        is_even = isinstance(x, Packed) and x.is_even
        if is_even and linear.few and self._lowering == "hybrid":
            gathered = _gather(linear, x)
            if gathered is not None:
                return gathered
        size = linear.rows.size_out, linear.columns.size_out
        products = linear.products(*linear.blocks(1))
        block = self._best_block(linear, products) if self._lowering != "hybrid" else None
        if block is None:
            h = whole(x)
            if isinstance(call.layer, layers.Conv2DTranspose):
                return linear.convolve(h, *linear.blocks(1))
            return call.layer(h)
        cell = x.block[0] if is_even and self._lowering == "subpixel" else 1
        if block % cell:
            cell = 1
        h = x.packed() if cell > 1 else whole(x)
        blocks = linear.blocks(block, cell)
        return Packed([linear.convolve(h, *blocks, cell)], (block, block), size)

    def _best_block(self, linear: Linear, products: float) -> int | None:
        return None if self._lowering == "phases" else linear.best_block(products)

    def _feeds_few(self, call: Call) -> bool:
        """Whether what takes the output is a stride-1 layer with few channels."""
        user = self._graph.only_user(call)
        while user is not None and is_elementwise(user.layer):
            user = self._graph.only_user(user)
        linear = linear_of(user.layer, user.inputs[0]) if user else None
        return linear is not None and linear.scale == (1, 1) and linear.few


def _gather(linear: Linear, x: Packed) -> Any:
    """Compute a stride-1 layer as a transposed convolution of the phases of its input.

    Its tap a adds input row c * m + f, of phase f, to output row c * m + f + pad - a * dilation:
    tap f + pad - a * dilation of a transposed convolution of stride c, counted from the lowest.
    """
    cell = x.block[0]
    taps = []
    for axis in (linear.rows, linear.columns):
        reach = (axis.kernel - 1) * axis.dilation
        if not 0 <= axis.shift <= reach:
            return None
        taps.append((reach - axis.shift, reach + cell))  # cut off in front; size
    _, _, c_in, c_out = linear.kernel.shape
    sizes = [size for _, size in taps]
    wide = np.zeros((*sizes, c_out, cell, cell, c_in), np.float32)
    flipped = linear.kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    steps = linear.rows.dilation, linear.columns.dilation
    for f, g in np.ndindex(cell, cell):
        wide[
            f : f + sizes[0] - cell + 1 : steps[0], g : g + sizes[1] - cell + 1 : steps[1], :, f, g
        ] = flipped
    wide = wide.reshape(*sizes, c_out, cell * cell * c_in)
    size = linear.rows.size_out, linear.columns.size_out
    h = x.packed()
    same = size == x.size and all(front == (k - cell) // 2 for front, k in taps)
    layer = layers.Conv2DTranspose(
        c_out,
        sizes,
        cell,
        "same" if same else "valid",
        activation=linear.activation,
        **constant(wide, linear.bias),
    )
    h = layer(h)
    if same:
        return h
    edges = [
        (front, full - front - wanted)
        for (front, _), full, wanted in zip(taps, h.shape[1:3], size, strict=True)
    ]
    return crop(h, tuple(edges))
