"""The ONNX operators that are known to be harmless, and the shapes that they give. Stdlib only.

https://onnx.ai/onnx/operators. None of them runs a graph, reads a file or waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cvae_edge.guard import shapes
from cvae_edge.guard.onnx_graph import Node
from cvae_edge.guard.onnx_layout import LAYOUT
from cvae_edge.guard.shapes import Shape, Tensors

_SAME = """Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Cast Ceil Celu Clip Cos Cosh
CumSum DequantizeLinear Dropout Elu Erf Exp Floor Gelu GroupNormalization HardSigmoid HardSwish
Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Log LogSoftmax
LpNormalization MeanVarianceNormalization Mish Neg Not QuantizeLinear Reciprocal Relu Round Selu
Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu"""
_BROADCAST = """Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or
PRelu Pow Sub Sum Where Xor"""


def _same(node: Node, tensors: Tensors) -> None:
    values = tensors.known(node.inputs[0]) if node.op in ("Cast", "Identity") else None
    tensors.put(node.output, tensors.shape(node.inputs[0]), values)


def _broadcast(node: Node, tensors: Tensors) -> None:
    values = None
    if node.op == "Mul":  # a size that grows with the batch; Sub and Div could hide how fast
        a, b = (tensors.known(name) for name in node.inputs)
        if a and b and len(a) == len(b) and min(*a, *b) >= 0:
            values = [left * right for left, right in zip(a, b, strict=True)]
    tensors.put(node.output, shapes.broadcast(*map(tensors.shape, node.inputs)), values)


def _argument(node: Node, tensors: Tensors) -> None:
    axis, keep = node.integer("axis", 0), bool(node.integer("keepdims", 1))
    tensors.put(node.output, shapes.reduce(tensors.shape(node.inputs[0]), [axis], keep))


def _conv(node: Node, tensors: Tensors) -> None:
    x, weights = (tensors.shape(name) for name in node.inputs[:2])
    result = (x[0], weights[0], *_windows(node, x[2:], weights[2:]))
    tensors.spend(math.prod(result) * math.prod(weights[1:]))
    tensors.put(node.output, result)


def _conv_transpose(node: Node, tensors: Tensors) -> None:
    x, weights = (tensors.shape(name) for name in node.inputs[:2])
    rank = len(x) - 2
    stride, dilation, extra = (
        node.numbers(name, [default] * rank)
        for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    pads = node.numbers("pads", [0] * 2 * rank)
    sizes = [
        stride[i] * (x[2 + i] - 1) + extra[i] + (weights[2 + i] - 1) * dilation[i] + 1
        - pads[i] - pads[rank + i]
        for i in range(rank)
    ]  # fmt: skip
    if node.attributes.get("auto_pad") in ("SAME_UPPER", "SAME_LOWER"):
        sizes = [stride[i] * x[2 + i] for i in range(rank)]
    sizes = node.numbers("output_shape", sizes)[-rank:]
    tensors.spend(math.prod(x) * math.prod(weights[1:]))
    tensors.put(node.output, (x[0], weights[1] * node.integer("group", 1), *sizes))


def _pool(node: Node, tensors: Tensors) -> None:
    x, kernel = tensors.shape(node.inputs[0]), node.numbers("kernel_shape", [])
    sizes = _windows(node, x[2:], kernel)
    tensors.spend(math.prod((*x[:2], *sizes, *kernel)))
    tensors.put(node.output, (*x[:2], *sizes))


def _global_pool(node: Node, tensors: Tensors) -> None:
    x = tensors.shape(node.inputs[0])
    tensors.put(node.output, (*x[:2], *(1,) * len(x[2:])))


def _matmul(node: Node, tensors: Tensors) -> None:
    a, b = (tensors.shape(name) for name in node.inputs[:2])
    if node.op == "Gemm":
        a = a[::-1] if node.integer("transA", 0) else a
        b = b[::-1] if node.integer("transB", 0) else b
    result = shapes.matmul(a, b)
    tensors.spend(math.prod(result) * a[-1])
    tensors.put(node.output, result)


def _windows(node: Node, sizes: Shape, kernel: Sequence[int]) -> list[int]:
    rank = len(sizes)
    strides, dilations = (node.numbers(name, [1] * rank) for name in ("strides", "dilations"))
    pads: list[int] | None = node.numbers("pads", [0] * 2 * rank)
    if node.attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        pads = None
    rounds_up = node.integer("ceil_mode", 0)
    return [
        shapes.window(
            sizes[i],
            kernel[i],
            strides[i],
            dilations[i],
            None if pads is None else pads[i] + pads[rank + i] + rounds_up * (strides[i] - 1),
        )
        for i in range(rank)
    ]


OPERATORS: dict[str, Callable[[Node, Tensors], None]] = {
    **LAYOUT,
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    **dict.fromkeys(("ArgMax", "ArgMin"), _argument),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    **dict.fromkeys(("MatMul", "Gemm"), _matmul),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
}
