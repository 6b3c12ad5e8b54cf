"""Architectures: from an image shape to a pair of Keras models, and from a foreign pair to ours."""
