"""The report as a folder: results.json, report.md and the plots."""

from __future__ import annotations

import json
from pathlib import Path

from cvae_edge.benchmark.plots import draw_plots
from cvae_edge.benchmark.report import to_json, to_markdown
from cvae_edge.benchmark.results import Results
from cvae_edge.errors import DependencyError
from cvae_edge.writing import write_text


def write_report(results: Results, folder: Path) -> list[str]:
    """Write the report into ``folder``; return a sentence for each part that was left out.

    The figures are written first: whatever befalls the pictures, they are safe.
    """
    text = json.dumps(to_json(results), indent=1, allow_nan=False)
    write_text(folder / "results.json", text + "\n")
    plots: list[str] = []
    left_out = []
    try:
        plots = draw_plots(results, folder)
    except DependencyError as error:
        left_out.append(str(error))
    write_text(folder / "report.md", to_markdown(results, plots))
    return left_out
