"""The report's two pictures: what speed costs in nats, and what batches give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvae_edge.benchmark.results import Results, Row
from cvae_edge.errors import DependencyError
from cvae_edge.writing import new_file

LOSS, BATCH = "loss-against-latency.png", "latency-against-batch.png"
_COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9")  # by precision
_MARKERS = "osD^vP*X"  # by runtime and provider
_SIZES = (6, 9, 12, 15)  # by threads, in points
_LINES = (":", "-", "--", "-.")  # by threads
_MANY_NATS = 1.0  # where losses reach this, their axis is linear near 0 and logarithmic beyond
_NATS = (0, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # marked there
_TICKS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # of each decade


def draw_plots(results: Results, folder: Path) -> list[str]:
    """Write the pictures that there is data for into ``folder``; return their names.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            "the report has no plots, for which matplotlib is needed: pip install matplotlib"
        ) from error
    rows = [row for row in results.rows if row.status == "measured"]
    if not rows:
        return []
    smallest = min(row.configuration.batch for row in rows)
    of_smallest = [row for row in rows if row.configuration.batch == smallest]
    known = [row for row in of_smallest if row.loss is not None]
    drawn = []
    for name, draw, shown in ((LOSS, _draw_loss, known), (BATCH, _draw_batches, rows)):
        if shown:
            figure = Figure(figsize=(8.5, 5), layout="constrained")
            axes = figure.subplots()
            style = _Style(shown)
            draw(axes, shown, style)
            axes.set_title(f"{results.manifest.name}: {results.request.role}", loc="left")
            axes.grid(alpha=0.3)
            handles = [
                *style.legend(lines=draw is _draw_batches),
                *axes.get_legend_handles_labels()[0],
            ]
            figure.legend(handles=handles, loc="outside right upper", frameon=False)
            with new_file(folder / name, durable=False) as file:
                figure.savefig(file, format="png", dpi=120)
            drawn.append(name)
    return drawn


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Return the Pareto front of time and loss, fastest first.

    Losses count to 0.001 nats, as they are shown; below that, files are equally good.
    """
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.image_ms, _loss(row))):
        if not front or _loss(row) < _loss(front[-1]):
            front.append(row)
    return front


class _Style:
    """Colour, marker, size and line of a row, and what they stand for."""

    def __init__(self, rows: Sequence[Row]) -> None:
        configurations = [row.configuration for row in rows]
        self.precisions = list(dict.fromkeys(c.precision for c in configurations))
        self.runtimes = sorted({_runtime(row) for row in rows})
        self.threads = sorted({c.threads for c in configurations})

    def colour(self, precision: str) -> str:
        return _COLOURS[self.precisions.index(precision) % len(_COLOURS)]

    def marker(self, runtime: str) -> str:
        return _MARKERS[self.runtimes.index(runtime) % len(_MARKERS)]

    def size(self, threads: int) -> int:
        return _SIZES[self.threads.index(threads) % len(_SIZES)]

    def line(self, threads: int) -> str:
        return _LINES[self.threads.index(threads) % len(_LINES)]

    def of(self, row: Row) -> dict[str, Any]:
        c = row.configuration
        return {
            "color": self.colour(c.precision),
            "marker": self.marker(_runtime(row)),
            "markersize": self.size(c.threads),
            "markeredgecolor": "white",
            "markeredgewidth": 0.8,
        }

    def legend(self, lines: bool) -> list[Any]:
        """Return handles that say what colours, markers, sizes and ``lines`` stand for."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        def handle(label: str, **look: Any) -> Line2D:
            return Line2D([], [], label=label, **{"ls": "", "color": "0.4", "marker": "o", **look})

        return [
            *(Patch(color=self.colour(p), label=p.replace("_", " ")) for p in self.precisions),
            *(handle(runtime, marker=self.marker(runtime)) for runtime in self.runtimes),
            *(
                handle(
                    f"{n} {'thread' if n == 1 else 'threads'}",
                    markersize=self.size(n),
                    ls=self.line(n) if lines else "",
                )
                for n in self.threads
            ),
        ]


def _draw_loss(axes: Any, rows: Sequence[Row], style: _Style) -> None:
    front = pareto_front(rows)
    times, losses = [row.image_ms for row in front], [_loss(row) for row in front]
    times.append(max(row.image_ms for row in rows))
    axes.step(
        times, [*losses, losses[-1]], where="post", color="0.5", zorder=1, label="Pareto front"
    )
    for row in rows:
        axes.plot(row.image_ms, _loss(row), linestyle="", zorder=2, **style.of(row))
    axes.margins(0.07)
    worst = max(_loss(row) for row in rows)
    if worst > _MANY_NATS:
        axes.set_yscale("symlog", linthresh=0.1)
        marked = [nats for nats in _NATS if nats < 2 * worst]
        axes.set_yticks(marked, [f"{nats:g}" for nats in marked])
    limit = rows[0].budget
    if worst > limit / 2:
        label = f"{limit:.3g} nats, the limit"
        axes.axhline(limit, color="0.3", linewidth=1, linestyle=":", label=label)
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis)
    batch = rows[0].configuration.batch
    axes.set(
        xlabel=f"milliseconds an image, p50, batch {batch} (log scale)",
        ylabel="nats of ELBO lost",
    )


def _draw_batches(axes: Any, rows: Sequence[Row], style: _Style) -> None:
    lines: dict[tuple[object, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.configuration.batch):
        c = row.configuration
        lines.setdefault((c.files, c.threads, c.provider), []).append(row)
    for line in lines.values():
        axes.plot(
            [row.configuration.batch for row in line],
            [row.image_ms for row in line],
            linestyle=style.line(line[0].configuration.threads),
            **style.of(line[0]),
        )
    axes.set_xscale("log", base=2)
    batches = sorted({row.configuration.batch for row in rows})
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.set_yscale("log")
    _plain_ticks(axes.yaxis)
    axes.set(xlabel="images in a call (log scale)", ylabel="milliseconds an image, p50 (log scale)")


def _plain_ticks(axis: Any) -> None:
    """Mark a logarithmic axis with plain numbers, and more of them than powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=_TICKS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _loss(row: Row) -> float:
    return round(row.loss or 0.0, 3)


def _runtime(row: Row) -> str:
    c = row.configuration
    several = len(c.engine.providers) > 1
    return f"{c.engine.name} {c.provider}" if several else c.engine.name
