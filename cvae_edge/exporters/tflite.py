"""TFLite files, of built-in operators only."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from cvae_edge.bundle import Tensor
from cvae_edge.training.quiet import quiet


def to_tflite(network: keras.Model) -> bytes:
    """Convert a network to float32; its signature has the network's tensor names."""
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return convert(converter)


def convert(converter: tf.lite.TFLiteConverter) -> bytes:
    """Run a converter without what it, Keras and MLIR print."""
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        content: bytes = converter.convert()
    return content


def tensors(content: bytes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
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
