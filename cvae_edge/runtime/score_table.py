"""Scores of any number of images as a .csv, and what holds for all of them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cvae_edge.errors import DataError
from cvae_edge.locking import open_locked
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


class Begun:
    """A .csv of scores to which rows are appended, by one command after another.

    Only whole lines count: a command that is killed leaves a part of the last one.
    """

    def __init__(self, path: Path) -> None:
        """Take the .csv, which need not be there."""
        self.path = path

    def names(self) -> Iterator[str]:
        """Give the images that have rows."""
        for row, _ in self._rows():
            yield row["file"]

    def up_to(self, rows: int) -> tuple[bytes, int, int]:
        """Return the head line, where the row of that number ends, and the anomalies until it."""
        anomalies = end = 0
        for number, (row, row_end) in enumerate(self._rows()):
            if number == rows:
                break
            end, anomalies = row_end, anomalies + (row.get("anomalous") == "True")
        return self._head(), end, anomalies

    def _head(self) -> bytes:
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            return file.readline().rstrip(b"\n")
        return b""

    def _rows(self) -> Iterator[tuple[dict[str, str], int]]:
        """Give rows, and where they end."""
        end = 0

        def lines(file: BinaryIO) -> Iterator[str]:
            nonlocal end
            for line in file:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield line.decode("utf-8", "replace")

        with suppress(FileNotFoundError), self.path.open("rb") as file:
            for row in csv.DictReader(lines(file)):
                if row.get("file") is None:
                    raise DataError(f"{self.path} must be a .csv that score wrote, for --resume")
                yield row, end


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


def append_scores(
    begun: Begun, rows: int, chunks: Iterable[Scores], inputs: Iterable[str]
) -> Summary:
    """Append lines to a .csv as scores come, each chunk whole and on the disk.

    Args:
        begun: the .csv.
        rows: how many of its rows stay.
        chunks: scores of the further images.
        inputs: files that must not be written to.

    Raises:
        DataError: the rows that are there have other columns, another process writes it, or it is
            one of ``inputs``.
        OSError: it cannot be written.
    """
    require_apart([begun.path], inputs)
    head, end, anomalies = begun.up_to(rows)
    summary = Summary(anomalies=anomalies)
    begun.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        opened = open_locked(begun.path, wait=False)
    except BlockingIOError as error:
        raise DataError(f"{begun.path} is being written by another process") from error
    with opened as file:
        for scores in chunks:
            text = _csv(scores, scores.rows(), with_head=True)
            columns, _, lines = text.partition(b"\n")
            if not end:
                head, lines = columns, text
            if head != columns:
                raise DataError(
                    f"--resume needs the options that {begun.path} was begun with: its columns "
                    f"are {head.decode()}, now they are {columns.decode()}"
                )
            file.seek(end)
            file.truncate()
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
            end = file.tell()
            summary.unit, summary.threshold = scores.unit, scores.threshold
            summary.anomalies += scores.anomalies
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
