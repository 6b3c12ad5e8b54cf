"""The training side: imports TensorFlow."""
