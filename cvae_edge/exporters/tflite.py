"""TFLite files, of built-in operators only.

The converter's own quantizer is used. Its ranges come from fake quantization in the network, see
``quantization``, in place of a representative data set. benchmarks/results has the comparison with
Google's ai-edge-quantizer.
"""

from __future__ import annotations

import contextlib
import io as text_io
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from cvae_edge.manifest import Tensor
from cvae_edge.quiet import quiet

Pair = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]  # inputs and outputs


def to_tflite(network: keras.Model, precision: str, io: str = "float32") -> bytes:
    """Convert a network; its signature has the network's tensor names.

    Args:
        network: for int8, with fake quantization after every activation.
        precision: float32, float16 (weights), dynamic_range or int8 (all-integer).
        io: type of an int8 file's inputs and outputs, float32 or int8.
    """
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
        if precision == "int8" and io == "int8":
            converter.inference_input_type = converter.inference_output_type = tf.int8
        return convert(converter)


def convert(converter: Any) -> bytes:
    """Run a converter without what it, Keras and MLIR print."""
    with quiet(), contextlib.redirect_stdout(text_io.StringIO()):
        content: bytes = converter.convert()
    return content


def tensors(content: bytes) -> Pair:
    """Return the inputs and the outputs of a file's signature, at batch 1."""
    with quiet():
        runner = Interpreter(model_content=content).get_signature_runner()
    return _tensors(runner.get_input_details()), _tensors(runner.get_output_details())


def _tensors(details: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(_tensor(name, d) for name, d in details.items())


def _tensor(name: str, details: dict[str, Any]) -> Tensor:
    dtype = details["dtype"].__name__
    shape = tuple(int(size) for size in details["shape"])
    if "int" not in dtype:
        return Tensor(name, shape, dtype)
    scale, zero_point = details["quantization"]
    return Tensor(name, shape, dtype, float(scale), int(zero_point))
