"""Which lowering of the decoder is faster; written by benchmarks/lowering.py --write."""

from __future__ import annotations

from cvae_edge.exporters.upsampling import Lowering

FASTEST: dict[tuple[str, str], Lowering] = {
    ("onnx", "float32"): "hybrid",
    ("onnx", "float16"): "transposed",
    ("onnx", "dynamic_range"): "hybrid",
    ("onnx", "int8"): "polyphase",
    ("tflite", "float32"): "polyphase",
    ("tflite", "float16"): "polyphase",
    ("tflite", "dynamic_range"): "polyphase",
    ("tflite", "int8"): "polyphase",
}
