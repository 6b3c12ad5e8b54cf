"""Which lowering of the decoder is faster, per format and precision, and against the tools' own.

    python benchmarks/lowering.py RUN [RUN ...] [--turns 15] [--formats onnx,tflite]

A RUN is any finished or imported run. Files take turns; figures are medians. TFLite files are
judged on one image with one thread and with two, ONNX files on one image and on 100, by geometric
means. The results name the best; a target's table of lowerings is set from them.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import record

from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.exporters.calibration import calibration_set, candidates  # noqa: E402
from cvae_edge.exporters.naive import NAIVE, PRECISIONS  # noqa: E402
from cvae_edge.exporters.passes.lower import LOWERINGS, lower  # noqa: E402
from cvae_edge.exporters.passes.quantize import mark, marked, observe  # noqa: E402
from cvae_edge.exporters.subject import Subject, load_subject  # noqa: E402
from cvae_edge.exporters.targets import TARGETS, File  # noqa: E402
from cvae_edge.manifest import Artifact  # noqa: E402
from cvae_edge.runtime.timing import make_call, median_microseconds  # noqa: E402
from cvae_edge.training.run import Run  # noqa: E402

BATCHES = {"onnx": (1, 100), "tflite": (1,)}
# With onnxruntime one thread: the idle threads of other sessions spin, and would be in the way.
THREADS = {"onnx": (1,), "tflite": (1, 2)}


def build(subject: Subject, format: str, precision: str, lowering: str, z: Any) -> File:
    """One decoder; int8 takes min-max ranges, which change no time."""
    target, network = TARGETS[format], subject.networks["decoder"]
    if precision == "int8":
        values = observe(network, {"z": z})
        names = marked(network, target.schemes["int8"])
        ranges = {name: candidates(values[name], False)["min-max"] for name in names}
        network = mark(network, ranges)[0]
    return target.emit(lower(network, lowering), precision)


def measure(subject: Subject, format: str, z: Any, turns: int) -> list[dict[str, Any]]:
    files = {
        (precision, lowering): build(subject, format, precision, lowering, z)
        for precision in PRECISIONS
        for lowering in LOWERINGS
    }
    for precision in PRECISIONS:
        files[precision, "tools' own"] = NAIVE[format](subject.vae.decoder, precision, {"z": z})
    rows = []
    for batch, threads in product(BATCHES[format], THREADS[format]):
        calls = {}
        for (precision, lowering), file in files.items():
            facts = ("decoder", format, "decoder", precision, lowering, file.inputs, file.outputs)
            artifact = Artifact(*facts, len(file.content), sha256="")
            calls[precision, lowering] = make_call(artifact, file.content, batch, threads)
        times = median_microseconds(calls, turns if batch == 1 else max(1, turns // 4))
        rows += [
            {
                "run": subject.run.folder.name,
                "format": format,
                "precision": precision,
                "lowering": lowering,
                "batch": batch,
                "threads": threads,
                "microseconds": round(time, 1),
                "bytes": len(files[precision, lowering].content),
            }
            for (precision, lowering), time in times.items()
        ]
    return rows


def best(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The lowering with the least product of times, by format and precision, over all runs."""
    products: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["lowering"] in LOWERINGS:
            times = products.setdefault((row["format"], row["precision"]), {})
            times[row["lowering"]] = times.get(row["lowering"], 1.0) * row["microseconds"]
    return {f"{f} {p}": min(times, key=times.get) for (f, p), times in products.items()}


def report(rows: list[dict[str, Any]]) -> str:
    keys = ("run", "format", "precision", "batch", "threads")
    grouped: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[k] for k in keys), {})[row["lowering"]] = row
    lines = []
    for key, by in grouped.items():
        own, chosen = by["tools' own"], by[TARGETS[key[1]].lowerings[key[2]]]
        times = [by[name]["microseconds"] for name in ("tools' own", *LOWERINGS)]
        speed = own["microseconds"] / chosen["microseconds"]
        size = chosen["bytes"] / own["bytes"]
        lines.append((*key, *times, chosen["lowering"], f"{speed:.2f}", f"{size:.3f}"))
    columns = (
        "run", "format", "precision", "images", "threads", "tools' own", *LOWERINGS, "chosen",
        "times as fast", "bytes over the tools' own",
    )  # fmt: skip
    return record.markdown_table(columns, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--formats", default="onnx,tflite")
    arguments = parser.parse_args()
    rows = []
    for folder in arguments.runs:
        subject = load_subject(Run.open(folder))
        z = calibration_set(subject, 200)["z"]
        for format in arguments.formats.split(","):
            rows += measure(subject, format, z, arguments.turns)
    figures = {
        "rows": rows,
        "fastest": best(rows),
        "turns": arguments.turns,
        "versions": record.versions("tensorflow", "tf2onnx", "onnxruntime", "ai-edge-litert"),
    }
    text = "Microseconds, medians.\n\n" + report(rows)
    record.write("lowering", figures, "Lowerings of the decoder", text)


if __name__ == "__main__":
    main()
