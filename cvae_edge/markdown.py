"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: bool = False
) -> str:
    """Return a table with a row for each of ``rows``, each line with its end.

    Args:
        columns: their heads.
        rows: a cell for each column.
        numbers: align all columns but the first to the right.
    """
    rule = ["---", *["---:" if numbers else "---"] * (len(columns) - 1)]
    lines = [columns, rule, *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
