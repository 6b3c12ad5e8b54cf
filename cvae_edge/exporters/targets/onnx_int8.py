"""Integers in ONNX graphs: kernels, and activations between Q and DQ."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.onnx_model import ONNXModel

from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.quantize import Scheme
from cvae_edge.exporters.targets.packing import INT4_LEVELS, pack

MOVES = ("Reshape", "Transpose", "DepthToSpace", "Concat", "Slice")  # they change no value
CONVERTING = ("QuantizeLinear", "DequantizeLinear", "Cast")
_CHANNELS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}  # a kernel's output axis
CONVOLUTIONS = ("Conv", "ConvTranspose")
_LEVELS = 127
_MIDDLE = 128  # the u8 integer for 0


def to_int8(model: onnx.ModelProto, scheme: Scheme) -> None:
    """Make what takes integers integer, in QDQ form: u8 activations, kernels per output channel.

    Convolutions have s8 kernels of few levels; see ``targets.onnx``. Dense layers have u8 kernels,
    whose products onnxruntime adds up in 32 bits on every processor. A dense layer that takes
    floats stores an s8 kernel and computes with floats.

    Args:
        model: with Q and DQ after every activation that is marked.
        scheme: how many levels kernels have.
    """
    _transpose_grey(model.graph)
    edit = _Edit(model.graph)
    for node in list(model.graph.node):
        if node.op_type == "QuantizeLinear":
            edit.move_up(node)
    for node in list(model.graph.node):
        if node.op_type == "DequantizeLinear":
            edit.move_down(node)
    for node in list(model.graph.node):
        if node.op_type in CONVOLUTIONS:
            edit.quantize_kernel(node, scheme.conv_levels, middle=0)
        elif node.op_type in _CHANNELS:
            edit.quantize_kernel(node, _LEVELS, middle=_MIDDLE)
    _drop_unused(model.graph)
    store_kernels(model.graph)
    ONNXModel(model).topological_sort()


def _transpose_grey(graph: onnx.GraphProto) -> None:
    """Put a grey image's channel first by Transpose, where tf2onnx has Reshape.

    Before a convolution of integers onnxruntime drops it: 5% of a small encoder's time.
    """
    makers = {node.output[0]: node for node in graph.node}
    shapes = {t.name: [d.dim_value for d in t.type.tensor_type.shape.dim] for t in graph.input}
    tensors = {t.name: t for t in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Reshape" and n.input[1] in tensors]:
        name = node.input[0]
        while name in makers and makers[name].op_type in CONVERTING:
            name = makers[name].input[0]
        _, *shape = shapes.get(name, [0])
        wanted = onnx.numpy_helper.to_array(tensors[node.input[1]]).tolist()
        if len(shape) == 3 and shape[2] == 1 and wanted[1:] == [1, *shape[:2]]:
            moved = onnx.helper.make_node(
                "Transpose", node.input[:1], node.output, perm=[0, 3, 1, 2]
            )
            node.CopyFrom(moved)


def store_kernels(graph: onnx.GraphProto, levels: int = _LEVELS) -> None:
    """Store every float kernel as integers from -levels to levels and scales of output channels.

    By Cast and Mul: onnxruntime computes them once, when it opens the file, but a DequantizeLinear
    at every run. So the arithmetic is float32's, and no image depends on others in its batch.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type not in _CHANNELS or node.input[1] not in tensors:
            continue
        name = node.input[1]
        kernel = onnx.numpy_helper.to_array(tensors.pop(name))
        scale = _scales(kernel, _CHANNELS[node.op_type], levels)
        integers, scales, floats = f"{name}_quantized", f"{name}_scale", f"{name}_float"
        _remove(graph, name)
        values = np.rint(kernel / scale).astype(np.int8)
        if levels <= INT4_LEVELS:
            int4, packed = onnx.TensorProto.INT4, pack(values).tobytes()
            stored = onnx.helper.make_tensor(integers, int4, values.shape, packed, raw=True)
            graph.initializer.append(stored)
        else:
            _add(graph, integers, values)
        _add(graph, scales, scale)
        cast = onnx.helper.make_node("Cast", [integers], [floats], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)
        graph.node.insert(1, onnx.helper.make_node("Mul", [floats, scales], [name]))


def _scales(kernel: Array, axis: int, levels: int) -> Array:
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    largest = np.abs(kernel).max(axis=others, keepdims=True)
    scale: Array = np.maximum(largest / levels, np.finfo(np.float32).tiny).astype(np.float32)
    return scale


class _Edit:
    """A graph that is being changed, with the producer and the consumers of each tensor."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._outputs = {t.name for t in graph.output}

    def move_up(self, quantize: onnx.NodeProto) -> None:
        """Round what a chain of moves takes as well as what it gives: the moves are integer then.

        onnxruntime makes an operator integer if DQ comes before it and Q behind it.
        """
        node = self._makers.get(quantize.input[0])
        if node is None or node.op_type not in MOVES or len(self._users[node.output[0]]) > 1:
            return
        for i in range(len(node.input) if node.op_type == "Concat" else 1):
            maker = self._makers.get(node.input[i])
            if maker is not None and maker.op_type == "DequantizeLinear":
                continue
            self.move_up(self._round(node, i, quantize.input[1:]))

    def move_down(self, dequantize: onnx.NodeProto) -> None:
        """Round what moves give on the way to a kernel, in the range of what they take."""
        for node in list(self._users.get(dequantize.output[0], [])):
            if node.op_type not in MOVES or node.op_type == "Concat":
                continue
            users = list(self._users.get(node.output[0], []))
            if not users or any(u.op_type == "QuantizeLinear" for u in users):
                continue
            if node.output[0] in self._outputs or not any(map(self._reaches_kernel, users)):
                continue
            rounded = self._round(users[0], list(users[0].input).index(node.output[0]),
                                  dequantize.input[1:])  # fmt: skip
            result = self._users[rounded.output[0]][0]
            for user in users[1:]:
                user.input[list(user.input).index(node.output[0])] = result.output[0]
                self._users.setdefault(result.output[0], []).append(user)
            self._users[node.output[0]] = [rounded]
            self.move_down(result)

    def _reaches_kernel(self, node: onnx.NodeProto) -> bool:
        if node.op_type in _CHANNELS:
            return True
        users = self._users.get(node.output[0], [])
        return node.op_type in MOVES and any(map(self._reaches_kernel, users))

    def _round(self, node: onnx.NodeProto, i: int, parameters: Any) -> onnx.NodeProto:
        """Put Q and DQ before a node's input; return Q."""
        name = node.input[i]
        integers, floats = (f"{name}_{node.output[0]}_{i}_{kind}" for kind in ("q", "dq"))
        q = onnx.helper.make_node("QuantizeLinear", [name, *parameters], [integers])
        dq = onnx.helper.make_node("DequantizeLinear", [integers, *parameters], [floats])
        node.input[i] = floats
        self._graph.node.extend([q, dq])
        q, dq = self._graph.node[-2:]  # extend copies
        self._makers |= {integers: q, floats: dq}
        users = [user for user in self._users[name] if user is not node]
        self._users |= {name: [*users, q], integers: [dq], floats: [node]}
        return q  # type: ignore[no-any-return]

    def quantize_kernel(self, node: onnx.NodeProto, levels: int, middle: int) -> None:
        """Give what takes integers a kernel of integers and an s32 bias.

        Args:
            node: a convolution or a dense layer.
            levels: the kernel's largest integer, before ``middle`` is added.
            middle: the integer for 0; kernels are u8 where it is not 0, else s8.
        """
        tensors = {t.name: t for t in self._graph.initializer}
        before = self._makers.get(node.input[0])
        if before is None or before.op_type != "DequantizeLinear" or node.input[1] not in tensors:
            return
        axis = _CHANNELS[node.op_type]
        kernel = onnx.numpy_helper.to_array(tensors[node.input[1]])
        scale = _scales(kernel, axis, levels)
        integers = (np.rint(kernel / scale) + middle).astype(np.uint8 if middle else np.int8)
        name = f"{node.input[1]}_{node.output[0]}"
        node.input[1] = self._dequantized(name, integers, scale.ravel(), axis, middle)
        if len(node.input) > 2:
            x_scale = onnx.numpy_helper.to_array(tensors[before.input[1]])
            bias = onnx.numpy_helper.to_array(tensors[node.input[2]])
            scales = (scale.ravel() * x_scale).astype(np.float32)
            rounded = np.clip(np.rint(bias / scales), -(2.0**31), 2.0**31 - 1).astype(np.int32)
            node.input[2] = self._dequantized(f"{node.input[2]}_{node.output[0]}", rounded, scales)

    def _dequantized(
        self, name: str, integers: Any, scale: Any, axis: int = 0, middle: int = 0
    ) -> str:
        parts = [f"{name}_{part}" for part in ("quantized", "scale", "zero")]
        zeros = np.full(scale.shape, middle, integers.dtype)
        for part, value in zip(parts, (integers, scale, zeros), strict=True):
            _add(self._graph, part, value)
        floats = f"{name}_float"
        dq = onnx.helper.make_node("DequantizeLinear", parts, [floats], axis=axis)
        self._graph.node.append(dq)
        return floats


def _add(graph: onnx.GraphProto, name: str, value: Any) -> None:
    graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for name in {tensor.name for tensor in graph.initializer} - used:
        _remove(graph, name)


def _remove(graph: onnx.GraphProto, name: str) -> None:
    for tensor in [t for t in graph.initializer if t.name == name]:
        graph.initializer.remove(tensor)
