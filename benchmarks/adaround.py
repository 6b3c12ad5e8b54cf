"""AdaRound: each kernel's integers chosen for what its layer gives (Nagel et al. 2020).

"Up or Down? Adaptive Rounding for Post-Training Quantization": layer by layer, in order, a variable
for each weight says how far it is rounded up, and is learned so that the layer's output on what the
rounded layers before it give is close to the trained one's (equations 21 to 25).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_edge.exporters.passes.graph import Call, Graph, keep
from cvae_edge.exporters.passes.kinds import is_linear
from cvae_edge.exporters.passes.layers import output_axes, rewrite_linear
from cvae_edge.exporters.passes.quantize import Scheme

_ZETA, _GAMMA = 1.1, -0.1  # stretch the sigmoid, so that it reaches 0 and 1
_WEIGHT = 0.01  # of what drives the variables to 0 or 1
_BETA = (20.0, 2.0)  # its exponent, from the end of the first fifth to the last step


def adaround(
    network: keras.Model,
    scheme: Scheme,
    inputs: Mapping[str, np.ndarray],
    steps: int = 500,
    batch: int = 64,
) -> keras.Model:
    """Return a marked and lowered network with every kernel on the integers of ``scheme``."""
    graph = Graph(network)
    values = [tf.constant(inputs[t.name]) for t in graph.inputs]
    trained: dict[int, Any] = {}
    kernels: dict[int, np.ndarray] = {}

    def record(call: Call, *args: Any, **kwargs: Any) -> Any:
        outputs = keep(call, *args, **kwargs)
        if is_linear(call.layer):
            trained[id(call)] = outputs
        return outputs

    def learn(call: Call, *args: Any, **kwargs: Any) -> Any:
        if not is_linear(call.layer):
            return keep(call, *args, **kwargs)
        kernels[id(call)] = _learn(call.layer, args[0], trained[id(call)], scheme, steps, batch)
        return _with_kernel(call, kernels)(args[0])

    def rounded(call: Call, *args: Any, **kwargs: Any) -> Any:
        if not is_linear(call.layer):
            return keep(call, *args, **kwargs)
        return _with_kernel(call, kernels)(args[0])

    graph.run(values, record)
    graph.run(values, learn)
    return graph.rebuild(rounded)


def _with_kernel(call: Call, kernels: Mapping[int, np.ndarray]) -> Any:
    return rewrite_linear(call.layer, kernels[id(call)], call.layer.get_weights()[1])


def _learn(
    layer: Any, x: tf.Tensor, target: tf.Tensor, scheme: Scheme, steps: int, batch: int
) -> np.ndarray:
    """Return a layer's kernel, rounded so that it gives ``target`` of ``x`` as well as it can."""
    kernel, bias = layer.get_weights()
    dense = isinstance(layer, keras.layers.Dense)
    levels = scheme.dense_levels if dense else scheme.conv_levels
    others = tuple(axis for axis in range(kernel.ndim) if axis not in output_axes(layer))
    scale = np.maximum(np.abs(kernel).max(axis=others, keepdims=True) / levels, 1e-30)
    ratio = kernel / scale
    fixed = np.abs(ratio) > levels - 1e-3  # the largest of a channel gives its scale
    low = np.floor(ratio)
    variable = tf.Variable(-np.log((_ZETA - _GAMMA) / (ratio - low - _GAMMA) - 1))
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build([variable])
    order = np.random.default_rng(0)

    @tf.function
    def step(x: tf.Tensor, target: tf.Tensor, beta: tf.Tensor, weight: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            up = tf.clip_by_value(tf.sigmoid(variable) * (_ZETA - _GAMMA) + _GAMMA, 0.0, 1.0)
            soft = tf.where(fixed, kernel, scale * (low + up))
            outputs, _ = layer.stateless_call([soft, bias], [], x)
            error = tf.reduce_mean(tf.reduce_sum((outputs - target) ** 2, -1))
            undecided = tf.reduce_sum(1 - tf.abs(2 * up - 1) ** beta)
            loss = error + weight * undecided
        optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])

    start = steps // 5
    for i in range(steps):
        rows = order.integers(0, len(x), batch)
        done = max(0.0, (i - start) / (steps - start))
        beta = _BETA[0] + (_BETA[1] - _BETA[0]) * done
        weight = _WEIGHT if i >= start else 0.0
        step(tf.gather(x, rows), tf.gather(target, rows), tf.constant(beta, tf.float32),
             tf.constant(weight, tf.float32))  # fmt: skip
    integers = np.where(fixed, np.rint(ratio), low + (variable.numpy() > 0))
    return (scale * np.clip(integers, -levels, levels)).astype(np.float32)
