"""keras.datasets, for users with a network: Keras downloads each set once."""

from __future__ import annotations

import importlib

from cvae_edge.datasets.dataset import Split
from cvae_edge.errors import DataError, DependencyError
from cvae_edge.images import check_images

NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")


def read_keras(name: str) -> tuple[Split, Split]:
    """Return train and test of the Keras data set ``name``.

    Raises:
        DataError: the name is unknown, or the download failed.
        DependencyError: Keras is not installed.
    """
    if name not in NAMES:
        raise DataError(f"keras: takes one of {', '.join(NAMES)}, got {name!r}")
    try:
        module = importlib.import_module(f"keras.datasets.{name}")
    except ImportError as error:
        raise DependencyError(
            "keras: data needs Keras, which is not installed: pip install 'cvae-edge[train]'"
        ) from error
    try:
        train, test = module.load_data()
    except Exception as error:  # Keras raises bare Exception when a download fails
        raise DataError(f"keras:{name} could not be downloaded: {error}") from error
    return tuple(  # type: ignore[return-value]
        Split(check_images(x, f"keras:{name}"), y.ravel()) for x, y in (train, test)
    )
