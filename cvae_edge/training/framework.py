"""TensorFlow, imported without the messages of its start."""

from __future__ import annotations

import os

from cvae_edge.quiet import quiet


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up messages, those of its later use included."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors stay
    with quiet():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # what probes for drivers, and says so
        tf.get_logger().setLevel("ERROR")
