"""TFLite: the converter's files of built-in operators only.

The converter's own quantizer is used. Its ranges come from the marks in the network in place of a
representative data set. benchmarks/results has the comparison with Google's ai-edge-quantizer.
"""

from __future__ import annotations

import contextlib
import io as text_io
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from cvae_edge.codec import Graph
from cvae_edge.elbo import Array
from cvae_edge.exporters.passes.quantize import Scheme, with_rounded_kernels
from cvae_edge.exporters.targets import tflite_file
from cvae_edge.exporters.targets.operators import summarize
from cvae_edge.exporters.targets.packing import INT4_LEVELS
from cvae_edge.exporters.targets.target import File, Target
from cvae_edge.exporters.targets.tflite_int4 import to_int4
from cvae_edge.manifest import Artifact, Tensor
from cvae_edge.quiet import quiet
from cvae_edge.runtime.engines.litert import dequantize, quantize

_PRECISIONS = ("float32", "float16", "dynamic_range", "int8", "int4")
_INT4 = Scheme(INT4_LEVELS, INT4_LEVELS)
_IDLE = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "DEPTH_TO_SPACE", "PAD", "CONCATENATION"}
_NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


def emit(network: keras.Model, precision: str, *, io: str = "float32", **_: Any) -> File:
    """Convert a network; the file's signature has the network's tensor names.

    Args:
        network: lowered; for int8 also marked.
        precision: float32, float16 (weights), dynamic_range, int8 (integer throughout) or int4 (the
            same with kernels of 4 bits).
        io: type of the inputs and outputs of files in int8 and int4, float32 or int8.
    """
    if precision == "int4":  # the converter rounds to 8 bits
        network = with_rounded_kernels(network, _INT4)
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            network.export(folder, verbose=False)
        # from_keras_model hides why it cannot take a network with two inputs.
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision in ("int8", "int4") and io == "int8":
            converter.inference_input_type = converter.inference_output_type = tf.int8
        model = tflite_file.read(convert(converter))
    if precision == "int4":
        to_int4(model)
    tflite_file.tidy(model)
    content = tflite_file.write(model)
    return File(content, *signature(content))


def signature(content: bytes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the inputs and the outputs of a file's signature, at batch 1."""
    with quiet():
        runner = Interpreter(model_content=content).get_signature_runner()
    return _tensors(runner.get_input_details()), _tensors(runner.get_output_details())


def convert(converter: Any) -> bytes:
    """Run a converter and hold back what it, Keras and MLIR print."""
    with quiet(), contextlib.redirect_stdout(text_io.StringIO()):
        content: bytes = converter.convert()
    return content


def _tensors(details: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(_tensor(name, d) for name, d in details.items())


def _tensor(name: str, details: dict[str, Any]) -> Tensor:
    dtype = details["dtype"].__name__
    shape = tuple(int(size) for size in details["shape"])
    if "int" not in dtype:
        return Tensor(name, shape, dtype)
    scale, zero_point = details["quantization"]
    return Tensor(name, shape, dtype, float(scale), int(zero_point))


def plain(artifact: Artifact, content: bytes) -> Graph:
    """Open a file with LiteRT's own kernels, without XNNPACK's."""
    with quiet():
        interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        runner = interpreter.get_signature_runner()
    taken, given = runner.get_input_details(), runner.get_output_details()

    def run(**inputs: Array) -> dict[str, Array]:
        results: list[dict[str, Array]] = []
        for i in range(len(next(iter(inputs.values())))):
            one = {name: quantize(inputs[name][i : i + 1], d) for name, d in taken.items()}
            outputs = runner(**one)
            results.append({name: dequantize(outputs[name], d) for name, d in given.items()})
        return {name: np.concatenate([r[name] for r in results]) for name in given}

    return run


def count_operators(content: bytes) -> dict[str, Any]:
    """Count the operators of a file by what they compute with; see ``summarize``."""
    model = tflite_file.read(content)
    graph = model.subgraphs[0]
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    named = [(_NAMES[codes[operator.opcodeIndex]], operator) for operator in graph.operators]
    return summarize((name, _kind(graph, op)) for name, op in named if name not in _IDLE)


def _kind(graph: Any, operator: Any) -> str:
    tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
    types = {t.type for t in tensors}
    floats, int8 = schema.TensorType.FLOAT32 in types, schema.TensorType.INT8 in types
    return "float" if not int8 else "hybrid" if floats else "integer"


TARGET = Target(
    name="tflite",
    precisions=_PRECISIONS,
    lowerings=dict.fromkeys(_PRECISIONS, "polyphase"),
    emit=emit,
    schemes={"int8": Scheme(conv_levels=127), "int4": _INT4},
    count_operators=count_operators,
    plain=plain,
)
