"""Which lowering of the decoder is faster, per format and precision, and against the tools' own.

    python benchmarks/lowering.py RUN [--rounds 60] [--write]

Every file takes its turn in every round; figures are medians. TFLite files are judged on one image
with one thread and with two, ONNX files on one image and on 100, by geometric means. --write puts
the result into cvae_edge/exporters/lowering_table.py, which ``--lowering auto`` reads.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import record

from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.exporters import lowering_table, onnx, onnx_quantization, tflite  # noqa: E402
from cvae_edge.exporters.calibration import calibration_set, candidates, observe  # noqa: E402
from cvae_edge.exporters.latency import make_call, median_latencies  # noqa: E402
from cvae_edge.exporters.naive import naive_export  # noqa: E402
from cvae_edge.exporters.networks import decoder_network, unmarked  # noqa: E402
from cvae_edge.exporters.quantization import fake_quantize  # noqa: E402
from cvae_edge.exporters.subject import Subject, load_subject  # noqa: E402
from cvae_edge.manifest import FORMATS, LOWERINGS, PRECISIONS  # noqa: E402

BATCHES = {"onnx": (1, 100), "tflite": (1,)}
# With onnxruntime one thread: the idle threads of other sessions spin, and would be in the way.
THREADS = {"onnx": (1,), "tflite": (1, 2)}


def build(subject: Subject, format: str, precision: str, lowering: Any, z: Any) -> bytes:
    """One decoder; int8 takes min-max ranges, which change no time."""

    def network(layout: Any, mark: Any = unmarked) -> Any:
        return decoder_network(subject.config, subject.weights, layout, lowering, mark)

    values = observe(lambda mark: network("channels_last", mark), {"z": z})
    ranges = {name: candidates(v, False)["min-max"] for name, v in values.items()}
    if format == "tflite":
        mark = fake_quantize(ranges) if precision == "int8" else unmarked
        return tflite.to_tflite(network("channels_last", mark), precision)
    model = onnx.to_onnx(network("channels_first"))
    if precision == "int8":
        model = onnx_quantization.to_int8(model, ranges, {"z": z})
    elif precision == "float16":
        model = onnx_quantization.to_float16(model)
    elif precision == "dynamic_range":
        model = onnx_quantization.to_dynamic_range(model)
    return onnx.describe(model, {})


def measure(subject: Subject, format: str, z: Any, rounds: int) -> list[dict[str, Any]]:
    files = {
        (precision, lowering): build(subject, format, precision, lowering, z)
        for precision in PRECISIONS
        for lowering in LOWERINGS
    }
    for precision in PRECISIONS:
        files[precision, "tools' own"] = naive_export(
            subject.vae.decoder, format, precision, {"z": z}
        )
    rows = []
    for batch, threads in product(BATCHES[format], THREADS[format]):
        calls = {key: make_call(format, content, batch, threads) for key, content in files.items()}
        times = median_latencies(calls, rounds if batch == 1 else rounds // 4)
        rows += [
            {
                "format": format,
                "precision": precision,
                "lowering": lowering,
                "batch": batch,
                "threads": threads,
                "microseconds": round(time, 1),
                "bytes": len(files[precision, lowering]),
            }
            for (precision, lowering), time in times.items()
        ]
    return rows


def fastest(rows: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    table = {}
    for format in FORMATS:
        for precision in PRECISIONS:
            products = {}
            for lowering in LOWERINGS:
                products[lowering] = 1.0
                for row in rows:
                    key = (row["format"], row["precision"], row["lowering"])
                    if key == (format, precision, lowering):
                        products[lowering] *= row["microseconds"]
            table[format, precision] = min(products, key=lambda name: products[name])
    return table


def write_table(table: dict[tuple[str, str], str]) -> None:
    path = Path(lowering_table.__file__)
    head = path.read_text().split("= {\n")[0]
    lines = [f'    ("{f}", "{p}"): "{lowering}",\n' for (f, p), lowering in table.items()]
    path.write_text(f"{head}= {{\n{''.join(lines)}}}\n")


def report(rows: list[dict[str, Any]]) -> str:
    names = ("format", "precision", "batch", "threads", "lowering")
    times = {tuple(row[name] for name in names): row["microseconds"] for row in rows}
    lines = []
    for format in FORMATS:
        for key in product((format,), PRECISIONS, BATCHES[format], THREADS[format]):
            own, *ours = (times[*key, lowering] for lowering in ("tools' own", *LOWERINGS))
            lines.append((*key, own, *ours, f"{own / min(ours):.2f}"))
    columns = (*names[:2], "images", "threads", "tools' own", *LOWERINGS, "tools' own / best")
    return record.markdown_table(columns, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    subject = load_subject(arguments.run)
    z = calibration_set(subject, 200)["z"]
    rows = [row for f in FORMATS for row in measure(subject, f, z, arguments.rounds)]
    table = fastest(rows)
    if arguments.write:
        write_table(table)
    figures = {
        "rows": rows,
        "fastest": {f"{f} {p}": lowering for (f, p), lowering in table.items()},
        "rounds": arguments.rounds,
        "versions": record.versions("tensorflow", "tf2onnx", "onnxruntime", "ai-edge-litert"),
    }
    text = "Microseconds, medians.\n\n" + report(rows)
    record.write("lowering", figures, "Lowerings of the decoder", text)


if __name__ == "__main__":
    main()
