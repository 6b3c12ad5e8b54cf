"""What a user would get without this package: the tools' own exports, with their defaults.

They are timed beside ours, and never shipped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from onnxruntime.quantization import quantize_dynamic, quantize_static

from cvae_edge.elbo import Array
from cvae_edge.exporters.onnx_quantization import CalibrationBatches, to_float16
from cvae_edge.exporters.tflite import convert
from cvae_edge.quiet import quiet

_OPSET = 17


def naive_export(
    model: keras.Model, format: str, precision: str, inputs: Mapping[str, Array]
) -> bytes:
    """Export a trained encoder or decoder as the tools do it.

    Args:
        model: the Keras model.
        format: onnx or tflite.
        precision: any of the bundle's.
        inputs: a calibration set, for int8.
    """
    return (_onnx if format == "onnx" else _tflite)(model, precision, inputs)


def _tflite(model: keras.Model, precision: str, inputs: Mapping[str, Array]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        values = inputs[model.inputs[0].name]
        converter.representative_dataset = lambda: ([v[np.newaxis]] for v in values)
    return convert(converter)


def _onnx(model: keras.Model, precision: str, inputs: Mapping[str, Array]) -> bytes:
    name = model.inputs[0].name
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), name=name)]

    def call(value: Any) -> Any:
        outputs = model(value)
        return outputs if isinstance(outputs, dict) else {"x_logits": outputs}

    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        proto, _ = tf2onnx.convert.from_function(tf.function(call), signature, opset=_OPSET)
        if precision == "float16":
            proto = to_float16(proto)
        if precision in ("float32", "float16"):
            content: bytes = proto.SerializeToString()
            return content
        if precision == "dynamic_range":
            quantize_dynamic(proto, path)
        else:
            quantize_static(proto, path, CalibrationBatches({name: inputs[name]}))
        return path.read_bytes()
