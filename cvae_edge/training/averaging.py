"""The weights' moving average, in their place for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from cvae_edge.training.layer_state import LayerState


@contextmanager
def averaged_weights(
    optimizer: keras.Optimizer, trained: Sequence[Any], state: LayerState
) -> Iterator[None]:
    """Put the averages that a recipe keeps in the place of the weights and of their statistics.

    Args:
        optimizer: keeps the weights' averages, or none.
        trained: what it changes.
        state: keeps those of the statistics.
    """
    if not optimizer.use_ema:
        yield
        return
    changed = [*trained, *state.statistics]
    kept = [(variable, variable.numpy()) for variable in changed]
    optimizer.finalize_variable_values(trained)
    for statistic, average in zip(state.statistics, state.averages, strict=True):
        statistic.assign(average)
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)
