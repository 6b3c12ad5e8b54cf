"""Train a convolutional VAE, export it to ONNX and TFLite, run it with numpy and onnxruntime."""
