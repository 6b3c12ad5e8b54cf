"""The report as a folder: results.json, report.md and the plots."""

from __future__ import annotations

import json
from pathlib import Path

from cvae_edge.benchmark.plots import draw_plots
from cvae_edge.benchmark.report import to_json, to_markdown
from cvae_edge.benchmark.results import Results
from cvae_edge.errors import DependencyError


def write_report(results: Results, folder: Path) -> list[str]:
    """Write the report into ``folder``; return a sentence for each part that was left out.

    The figures are written first: whatever befalls the pictures, they are safe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_json(results), indent=1, allow_nan=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    plots: list[str] = []
    left_out = []
    try:
        plots = draw_plots(results, folder)
    except DependencyError as error:
        left_out.append(str(error))
    (folder / "report.md").write_text(to_markdown(results, plots), encoding="utf-8")
    return left_out
