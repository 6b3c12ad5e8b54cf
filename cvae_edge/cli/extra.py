"""What commands need that the device side does not install."""

from __future__ import annotations

import importlib.util

from cvae_edge.errors import DependencyError

_TRAIN_EXTRA = ("tensorflow", "onnx", "tf2onnx", "matplotlib", "ai_edge_litert")


def need_tensorflow() -> None:
    """Import TensorFlow silently, or say which extra installs what is missing."""
    missing = [name for name in _TRAIN_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"this command needs {', '.join(missing)}, not installed here: "
            "pip install 'cvae-edge[train]'"
        )
    from cvae_edge.training.framework import import_tensorflow

    import_tensorflow()
