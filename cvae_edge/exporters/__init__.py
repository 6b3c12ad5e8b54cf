"""From a trained run to a bundle. Needs TensorFlow, onnx and tf2onnx."""
