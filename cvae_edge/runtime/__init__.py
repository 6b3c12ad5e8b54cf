"""The device side: numpy, and onnxruntime or LiteRT."""
