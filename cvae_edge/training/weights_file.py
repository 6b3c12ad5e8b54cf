"""best.weights.npz: the weights to use, and what belongs to them and changes with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.array_files import ArrayFile
from cvae_edge.errors import CvaeEdgeError, RunError
from cvae_edge.likelihoods import Likelihood, make_likelihood
from cvae_edge.regular_files import open_regular
from cvae_edge.writing import new_file

if TYPE_CHECKING:
    from cvae_edge.architectures.flow import Flow

_SCALE = "likelihood/scale"
_PRIOR = "prior/"  # before the names of its weights
Weights = dict[str, NDArray[np.float32]]


class Kept(NamedTuple):
    """What the file holds."""

    weights: Weights  # of both networks, by name
    likelihood: Likelihood
    prior: Weights  # of a flow; none for the standard normal


def write_weights(
    path: Path,
    weights: Mapping[str, NDArray[np.float32]],
    likelihood: Likelihood,
    flow: Flow | None,
) -> None:
    """Write the file; it replaces the old one when it is whole."""
    arrays: dict[str, Any] = {**weights, _SCALE: np.asarray(likelihood.scale)}
    if flow is not None:
        arrays |= {f"{_PRIOR}{name}": value for name, value in flow.weights.items()}
    with new_file(path) as file:
        np.savez(file, **arrays)


def read_weights(path: Path, likelihood: str) -> Kept:
    """Read the file of a run with a likelihood of this name.

    Raises:
        RunError: it is missing, damaged, or holds NaN.
    """
    try:
        with open_regular(path) as file:
            arrays: Weights = ArrayFile(file).read_all()
        scale = arrays.pop(_SCALE).tolist()
        fitted: Likelihood = make_likelihood(likelihood, scale)
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} has no weights yet: train for one epoch at least") from error
    except (OSError, KeyError, CvaeEdgeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    broken = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if broken:
        raise RunError(f"weights must be finite, got NaN or infinity in {path}: {broken[0]}")
    prior = {n.removeprefix(_PRIOR): v for n, v in arrays.items() if n.startswith(_PRIOR)}
    weights = {n: v for n, v in arrays.items() if not n.startswith(_PRIOR)}
    return Kept(weights, fitted, prior)
