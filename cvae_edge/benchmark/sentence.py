"""What to ship, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cvae_edge.benchmark.advice import Choice, choose
from cvae_edge.benchmark.results import Results, Row

_NAMED = 3  # of those that are as fast; more are counted


def sentences(results: Results) -> list[str]:
    """Say what to ship: for the smallest batch first, then for each of the others."""
    batches = sorted(results.request.batches)
    return [_sentence(results, batch, first=batch == batches[0]) for batch in batches]


def figure(value: float) -> str:
    """Write a positive number with three digits, and without an exponent."""
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, digits)}f}"


def lost(row: Row) -> str:
    """Say what a row's files lose."""
    if row.loss is None:
        return "a loss that nobody measured"
    return f"{abs(row.loss):.2f} nats {'lost' if round(row.loss, 2) >= 0 else 'gained'}"


def _sentence(results: Results, batch: int, first: bool) -> str:
    choice = choose(results, batch)
    size = "single images" if batch == 1 else f"batches of {batch}"
    if choice is None and not results.of(batch):
        return f"For {size} nothing was measured to the end, so there is no choice."
    if choice is None:
        return f"For {size} there is no file that is known to lose little enough."
    best = choice.best
    time = f"{figure(best.image_ms)} ms an image"
    if not first:
        text = f"For {size} ship {best.name}: {time}, {lost(best)}."
    else:
        text = f"Ship {best.name}: {time}{'' if batch == 1 else f' in {size}'}, {lost(best)}."
    return f"{text} {_equals(choice)}" if choice.equals else text


def _equals(choice: Choice) -> str:
    noise = f"{100 * choice.noise:.1f}%" if math.isfinite(choice.noise) else "unknown size"
    are = "is" if len(choice.equals) == 1 else "are"
    return (
        f"Within the noise of {noise} {_list([row.name for row in choice.equals])} {are} as fast; "
        "by loss, then size, then threads, the choice comes first."
    )


def _list(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} others"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
