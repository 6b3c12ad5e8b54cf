"""How images are told from good ones: a table by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_edge.codec import Array
from cvae_edge.evidence import Evidence
from cvae_edge.model_config import require_choice
from cvae_edge.monitor import field, residual, scores

Statistics = Mapping[str, Array]


class Method(NamedTuple):
    """Features of an image, statistics of good images, and a distance between the two."""

    features: Callable[[Evidence], NDArray[Any]]  # (n, ...)
    distance: Callable[[NDArray[Any], Statistics], NDArray[np.float64]]  # (n,)
    fit: Callable[[NDArray[Any]], dict[str, Array]] = lambda features: {}
    map: Callable[[NDArray[Any], Statistics, Sequence[int]], Array] | None = None  # (n, rows,
    # columns), of images of a shape
    decodes: bool = True  # whether it needs a decoder


def _number(score: Callable[[Evidence], NDArray[np.float64]], decodes: bool = True) -> Method:
    return Method(score, lambda values, statistics: values, decodes=decodes)


METHODS: dict[str, Method] = {
    "field": Method(field.cell_energies, field.field_distance, field.fit_field, field.field_map),
    "residual": Method(
        residual.blurred_residuals,
        residual.largest_deviation,
        residual.fit_spread,
        residual.deviation_map,
    ),
    "elbo": _number(scores.negative_elbo),
    "likelihood": _number(scores.negative_likelihood),
    "squared_error": _number(scores.squared_error),
    "relative_error": _number(scores.relative_error),
    "complexity": _number(scores.complexity),
    "kl": _number(scores.kl, decodes=False),
    "mu_squared": _number(scores.mu_squared, decodes=False),
}


def find_method(name: str) -> Method:
    """Return a method by its name; ConfigError lists them."""
    require_choice("method", name, tuple(METHODS))
    return METHODS[name]
