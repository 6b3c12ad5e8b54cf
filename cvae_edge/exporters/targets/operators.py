"""Really int8? Which operators of a file compute with integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

KINDS = ("integer", "hybrid", "float")


def summarize(classes: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Count operators, given each one's name and kind.

    ``hybrid`` operators have integer kernels and take float activations, which the runtime rounds
    as it goes. What converts or moves values is not counted.

    Returns:
        ``integer``, ``hybrid`` and ``float``, names with counts, and ``integer_share``, of the
        first two among all.
    """
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for name, kind in classes:
        counts[kind][name] += 1
    total = sum(c.total() for c in counts.values())
    share = 1 - counts["float"].total() / total if total else 0.0
    return {**{kind: dict(c) for kind, c in counts.items()}, "integer_share": round(share, 4)}
