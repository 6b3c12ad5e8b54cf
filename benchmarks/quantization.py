"""What each precision costs in nats, bytes and time, beside the tools' own quantization.

    python benchmarks/quantization.py RUN BUNDLE [--images 10000]

RUN is a finished run, BUNDLE its export with --quantize all. Other quantizers get the same model
and calibration set: the converter's, onnxruntime's, Google's litert-quantizer where it is installed
(ai-edge-quantizer is its older name), and AdaRound. TFLite Micro, where it is installed, tells the
size of its arena.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import record
from quantization_report import quantizer_table

from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

import quantizers  # noqa: E402

from cvae_edge.bundle import Bundle  # noqa: E402
from cvae_edge.exporters.build import Builder  # noqa: E402
from cvae_edge.exporters.calibration import calibration_set  # noqa: E402
from cvae_edge.exporters.measurement import Elbos  # noqa: E402
from cvae_edge.exporters.naive import NAIVE  # noqa: E402
from cvae_edge.exporters.settings import Kind, Settings  # noqa: E402
from cvae_edge.exporters.subject import Subject, load_subject  # noqa: E402
from cvae_edge.kits.tflite_micro import measure_arena  # noqa: E402
from cvae_edge.runtime.timing import Call, make_call, median_microseconds  # noqa: E402
from cvae_edge.training.run import Run  # noqa: E402


def pairs(bundle: Bundle) -> dict[str, float]:
    """The loss in nats of each format's pair of one precision, as the export measured it."""
    return {
        f"{p['format']} {p['encoder']}": round(-p["elbo_difference"], 4)
        for p in bundle.manifest.report["pairs"]
        if p["encoder"] == p["decoder"]
    }


def sizes(bundle: Bundle) -> dict[str, float]:
    """int8 against float32, in bytes, of both halves together and of each."""
    ratios = {}
    for format in ("onnx", "tflite"):
        total = {
            p: [bundle.manifest.find(r, format, p).size_bytes for r in ("encoder", "decoder")]
            for p in ("float32", "int8")
        }
        ratios[f"{format} pair"] = round(sum(total["int8"]) / sum(total["float32"]), 3)
        for i, role in enumerate(("encoder", "decoder")):
            ratios[f"{format} {role}"] = round(total["int8"][i] / total["float32"][i], 3)
    return ratios


def speeds(bundle: Bundle, subject: Subject, z: Any) -> dict[str, float]:
    """The goals' ratios of times, one thread, files taking turns."""

    def ours(format: str, precision: str, batch: int = 1, threads: int = 1) -> Call:
        artifact = bundle.manifest.find("decoder", format, precision)
        return make_call(artifact, bundle.read(artifact), batch, threads)

    def own(format: str, precision: str, batch: int = 1, threads: int = 1) -> Call:
        artifact = bundle.manifest.find("decoder", format, precision)
        file = NAIVE[format](subject.vae.decoder, precision, {"z": z})
        return make_call(file.described_by(artifact), file.content, batch, threads)

    precisions = ("float32", "dynamic_range", "int8")
    calls = {f"{p} ours": ours("tflite", p) for p in precisions}
    calls |= {f"{p} own": own("tflite", p) for p in precisions}
    lite = median_microseconds(calls, 25)
    ratios = {
        f"tflite {p} decoder, tools' own / ours, 1 image": lite[f"{p} own"] / lite[f"{p} ours"]
        for p in precisions
    }
    key = "tflite decoder, our float32 / our int8, 1 image"
    ratios[key] = lite["float32 ours"] / lite["int8 ours"]
    for threads in (1, 2):
        batch = {
            "own": own("onnx", "float32", 100, threads),
            "ours": ours("onnx", "int8", 100, threads),
        }
        times = median_microseconds(batch, 8)
        name = f"onnx decoder, tools' own float32 / our int8, 100 images, {threads} threads"
        ratios[name] = times["own"] / times["ours"]
    return {name: round(value, 2) for name, value in ratios.items()}


def arenas(subject: Subject) -> dict[str, int]:
    """By the decoder's lowering, the arena of its int8 file in TFLite Micro, where installed."""
    kind = Kind("decoder", "tflite", "int8")
    sizes = {
        lowering: measure_arena(Builder(subject, Settings(lowering=lowering)).build(kind).content)
        for lowering in ("polyphase", "subpixel")
    }
    return {lowering: size for lowering, size in sizes.items() if size is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    arguments = parser.parse_args()
    subject, bundle = load_subject(Run.open(arguments.run)), Bundle.open(arguments.bundle)
    elbos = Elbos(subject, arguments.images)
    inputs = calibration_set(subject, 500)
    figures = {
        "trained_elbo": bundle.manifest.report["trained_elbo"],
        "test_images": bundle.manifest.report["images"],
        "pair_loss_nats": pairs(bundle),
        "int8_size_ratio": sizes(bundle),
        "speed_ratio": speeds(bundle, subject, inputs["z"]),
        "quantizer_images": elbos.images,
        "quantizers": quantizers.rows(bundle, subject, elbos, inputs),
        "tflite_micro_arena_bytes": arenas(subject),
        "float32_largest_difference": {
            a.file: a.difference for a in bundle.manifest.artifacts if a.precision == "float32"
        },
        "versions": record.versions(
            "tensorflow", "onnxruntime", "ai-edge-litert", "litert-quantizer", "tflite-micro"
        ),
    }
    record.write("quantization", figures, "What quantization costs", report(figures))


def report(figures: dict[str, Any]) -> str:
    rows = [(f"loss of the {k} pair, nats", v) for k, v in figures["pair_loss_nats"].items()]
    rows += [(f"int8 / float32 bytes, {k}", v) for k, v in figures["int8_size_ratio"].items()]
    rows += list(figures["speed_ratio"].items())
    rows += [
        (f"TFLite Micro arena, bytes, lowering {lowering}", size)
        for lowering, size in figures["tflite_micro_arena_bytes"].items()
    ]
    largest = max(max(d.values()) for d in figures["float32_largest_difference"].values())
    rows.append(("float32, largest difference of an output", f"{largest:.1e}"))
    return (
        f"The trained model's ELBO is {figures['trained_elbo']:.3f} nats on "
        f"{figures['test_images']} test images.\n\n"
        + record.markdown_table(("figure", "value"), rows)
        + f"\nint8 by several quantizers, on {figures['quantizer_images']} test images, from one "
        "calibration set; microseconds are of one image with one thread:\n\n"
        + quantizer_table(figures["quantizers"])
    )


if __name__ == "__main__":
    main()
