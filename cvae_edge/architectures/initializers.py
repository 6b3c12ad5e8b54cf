"""Seeds for a network's initial weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def layer_seeds(seed: int, network: int) -> Iterator[int]:
    """Yield a seed a layer, without end: Philox4x64-10 under the key (seed, network)."""
    state = np.random.Philox(key=seed | network << 64)
    while True:
        yield int(state.random_raw() >> np.uint64(33))
