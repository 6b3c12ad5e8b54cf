"""The training side: imports TensorFlow.

``train`` fits a preset or a pair of one's own Keras models, ``import_models`` takes a pair that was
trained elsewhere; both return a ``Run``, which ``cvae_edge.exporters.export_bundle`` takes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvae_edge.training.imports import import_models as import_models
    from cvae_edge.training.launch import train as train
    from cvae_edge.training.run import Run as Run

__all__ = ["Run", "import_models", "train"]


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import; modules here that need none of it are imported without.
    if name == "train":
        from cvae_edge.training.launch import train

        return train
    if name == "import_models":
        from cvae_edge.training.imports import import_models

        return import_models
    if name == "Run":
        from cvae_edge.training.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
