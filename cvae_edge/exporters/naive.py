"""A model's files as the tools make them by default, to compare with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

from cvae_edge.elbo import Array
from cvae_edge.exporters.targets import File
from cvae_edge.exporters.targets.onnx import DEFAULT_OPSET, tensors, to_float16
from cvae_edge.exporters.targets.tflite import convert, signature
from cvae_edge.quiet import quiet

PRECISIONS = ("float32", "float16", "dynamic_range", "int8")  # no tool makes int4 of a convolution


class CalibrationBatches(CalibrationDataReader):  # type: ignore[misc]
    """A calibration set, a few images at a time, as onnxruntime takes it."""

    def __init__(self, inputs: Mapping[str, Array], size: int = 100) -> None:
        n = len(next(iter(inputs.values())))
        self._batches: Iterator[dict[str, Array]] = (
            {name: value[low : low + size] for name, value in inputs.items()}
            for low in range(0, n, size)
        )

    def get_next(self) -> dict[str, Array] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)


def to_onnx(model: keras.Model, precision: str, inputs: Mapping[str, Array]) -> File:
    """Export an encoder or decoder by tf2onnx, and quantize it by onnxruntime.

    Args:
        model: as it was trained.
        precision: any of the target's.
        inputs: a calibration set, for int8.
    """
    (tensor,) = model.inputs
    signature = [tf.TensorSpec((None, *tensor.shape[1:]), name=tensor.name)]
    call = tf.function(lambda value: model(value, training=False))
    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        proto, _ = tf2onnx.convert.from_function(call, signature, opset=DEFAULT_OPSET)
        if precision == "float16":
            proto = to_float16(proto)
        elif precision == "dynamic_range":
            quantize_dynamic(proto, path)
        elif precision == "int8":
            quantize_static(proto, path, CalibrationBatches({tensor.name: inputs[tensor.name]}))
        if path.exists():
            proto = onnx.load(path)
    return File(proto.SerializeToString(), tensors(proto.graph.input), tensors(proto.graph.output))


def to_tflite(model: keras.Model, precision: str, inputs: Mapping[str, Array]) -> File:
    """Export an encoder or decoder by TensorFlow's converter; see ``to_onnx``."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        values = inputs[model.inputs[0].name]
        converter.representative_dataset = lambda: ([v[np.newaxis]] for v in values)
    content = convert(converter)
    return File(content, *signature(content))


NAIVE: dict[str, Callable[[keras.Model, str, Mapping[str, Array]], File]] = {  # by format
    "onnx": to_onnx,
    "tflite": to_tflite,
}
