"""What quantizers gave, as a table; the README has it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import record


def quantizer_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a row for each pair of files: nats lost, bytes, microseconds."""
    cells = [
        (
            row["format"],
            row["quantizer"],
            *(
                f"{round(row['loss_nats'][part], 3) + 0.0:.3f}"
                for part in ("encoder", "decoder", "pair")
            ),
            f"{row['bytes'] / 1e3:.0f}",
            *(f"{row['microseconds'][role]:.0f}" for role in ("encoder", "decoder")),
        )
        for row in rows
    ]
    columns = (
        "format", "made by", "nats lost: encoder", "decoder", "pair", "kB a pair", "encoder us",
        "decoder us",
    )  # fmt: skip
    return record.markdown_table(columns, cells)
