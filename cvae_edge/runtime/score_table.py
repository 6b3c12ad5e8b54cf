"""Scores of any number of images as a .csv, and what holds for all of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cvae_edge.runtime.names import require_apart
from cvae_edge.runtime.scores import Scores
from cvae_edge.runtime.sources import STANDARD
from cvae_edge.writing import new_file, to_bytes, write_standard


@dataclass
class Summary:
    """What holds for all images that were scored."""

    unit: str = ""
    threshold: float | None = None
    anomalies: int = 0
    images: list[dict[str, Any]] = field(default_factory=list)  # their rows, if asked

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def write_scores(
    out: str | None,
    chunks: Iterable[Scores],
    inputs: Iterable[str] = (),
    keep_rows: bool = False,
) -> Summary:
    """Write a .csv, one line an image, as scores come; - is standard output, None nothing.

    Args:
        out: the file, which is there when the last line is.
        chunks: scores of images, at least of one.
        inputs: files that must not be overwritten.
        keep_rows: return the rows as well.

    Raises:
        DataError: ``out`` is one of ``inputs``.
        OSError: it cannot be written.
    """
    summary = Summary()
    with _text(out, inputs) as write:
        for number, scores in enumerate(chunks):
            rows = scores.rows()
            write(_csv(scores, rows, with_head=number == 0))
            summary.unit, summary.threshold = scores.unit, scores.threshold
            summary.anomalies += scores.anomalies
            summary.images += rows if keep_rows else []
    return summary


def _csv(scores: Scores, rows: list[dict[str, Any]], with_head: bool) -> bytes:
    text = io.StringIO()
    asked = [] if scores.threshold is None else ["anomalous"]
    columns = ["file", "score", *asked, *scores.bounds, "error"]
    writer = csv.DictWriter(text, columns, "", "ignore", lineterminator="\n")
    if with_head:
        writer.writeheader()
    writer.writerows(rows)
    return to_bytes(text.getvalue())


@contextmanager
def _text(out: str | None, inputs: Iterable[str]) -> Iterator[Callable[[bytes], object]]:
    if out is None:
        yield lambda content: None
    elif out == STANDARD:
        yield write_standard
    else:
        require_apart([Path(out)], inputs)
        with new_file(Path(out)) as file:
            yield file.write
