"""Which lowering of the decoder is faster; written by benchmarks/lowering.py --write."""

from __future__ import annotations

from cvae_edge.exporters.networks import Lowering

FASTEST: dict[tuple[str, str], Lowering] = {
    ("onnx", "float32"): "transposed",
    ("onnx", "float16"): "transposed",
    ("onnx", "dynamic_range"): "transposed",
    ("onnx", "int8"): "subpixel",
    ("tflite", "float32"): "subpixel",
    ("tflite", "float16"): "subpixel",
    ("tflite", "dynamic_range"): "subpixel",
    ("tflite", "int8"): "subpixel",
}
