"""What each precision costs in nats, bytes and time, beside the tools' own quantization.

    python benchmarks/quantization.py RUN BUNDLE [--images 500]

RUN is a finished run, BUNDLE its export. The converter's quantizer and Google's
ai-edge-quantizer get the same float32 file and the same calibration set, where they are installed;
so does TFLite Micro, for the size of its arena.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record

from cvae_edge.quiet import quiet
from cvae_edge.training.framework import import_tensorflow

import_tensorflow()

from cvae_edge.bundle import Bundle  # noqa: E402
from cvae_edge.codec import Codec  # noqa: E402
from cvae_edge.exporters.build import Builder  # noqa: E402
from cvae_edge.exporters.calibration import calibration_set  # noqa: E402
from cvae_edge.exporters.latency import median_latencies  # noqa: E402
from cvae_edge.exporters.measurement import Elbos  # noqa: E402
from cvae_edge.exporters.settings import Kind, Settings  # noqa: E402
from cvae_edge.exporters.subject import Subject, load_subject  # noqa: E402
from cvae_edge.exporters.targets import TARGETS  # noqa: E402
from cvae_edge.exporters.targets.tflite import signature  # noqa: E402
from cvae_edge.manifest import Artifact  # noqa: E402
from cvae_edge.runtime.engines import open_session  # noqa: E402
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

    def ours(format: str, precision: str) -> bytes:
        return bundle.read(bundle.manifest.find("decoder", format, precision))

    def own(format: str, precision: str) -> bytes:
        return TARGETS[format].naive(subject.vae.decoder, precision, {"z": z})

    precisions = ("float32", "dynamic_range", "int8")
    calls = {f"{p} ours": TARGETS["tflite"].make_call(ours("tflite", p), 1, 1) for p in precisions}
    calls |= {f"{p} own": TARGETS["tflite"].make_call(own("tflite", p), 1, 1) for p in precisions}
    lite = median_latencies(calls, 100)
    ratios = {
        f"tflite {p} decoder, tools' own / ours, 1 image": lite[f"{p} own"] / lite[f"{p} ours"]
        for p in precisions
    }
    key = "tflite decoder, our float32 / our int8, 1 image"
    ratios[key] = lite["float32 ours"] / lite["int8 ours"]
    for threads in (1, 2):
        batch = median_latencies(
            {
                "own": TARGETS["onnx"].make_call(own("onnx", "float32"), 100, threads),
                "ours": TARGETS["onnx"].make_call(ours("onnx", "int8"), 100, threads),
            },
            30,
        )
        name = f"onnx decoder, tools' own float32 / our int8, 100 images, {threads} threads"
        ratios[name] = batch["own"] / batch["ours"]
    return {name: round(value, 2) for name, value in ratios.items()}


def quantizers(bundle: Bundle, elbos: Elbos, subject: Subject, inputs: Any) -> list[dict[str, Any]]:
    """Ours, the converter's defaults, and ai-edge-quantizer: loss, bytes, microseconds."""
    rows = []
    for role, name in (("encoder", "x"), ("decoder", "z")):
        for precision in ("dynamic_range", "int8"):
            artifact = bundle.manifest.find(role, "tflite", precision)
            float32 = bundle.read(bundle.manifest.find(role, "tflite"))
            network = getattr(subject.vae, role)
            files: dict[str, Callable[[], bytes]] = {
                "this package": lambda a=artifact: bundle.read(a),
                "converter, as it comes": lambda n=network, p=precision: TARGETS["tflite"].naive(
                    n, p, inputs
                ),
            }
            if importlib.util.find_spec("ai_edge_quantizer"):
                files["ai-edge-quantizer on our float32"] = lambda f=float32, n=name, p=precision: (
                    ai_edge(f, n, p, inputs[n])
                )
            contents = {tool: make() for tool, make in files.items()}
            times = median_latencies(
                {t: TARGETS["tflite"].make_call(c, 1, 1) for t, c in contents.items()}
            )
            for tool, content in contents.items():
                loss = elbos.trained - elbos.of(codec(artifact, content, subject))
                rows.append(
                    {
                        "role": role,
                        "precision": precision,
                        "quantizer": tool,
                        "loss_nats": round(loss, 4),
                        "bytes": len(content),
                        "microseconds": round(times[tool], 1),
                    }
                )
    return rows


def codec(artifact: Artifact, content: bytes, subject: Subject) -> Codec:
    """Any tool's file with the trained model's other half; tools name tensors as they like."""
    inputs, outputs = signature(content)
    graph = open_session(artifact._replace(inputs=inputs, outputs=outputs), content)
    wanted = [t.name for t in artifact.outputs]

    def run(**values: np.ndarray) -> dict[str, np.ndarray]:
        (x,) = values.values()
        got = graph(**{inputs[0].name: x})
        return got if set(wanted) == set(got) else {wanted[0]: next(iter(got.values()))}

    return subject.with_half(artifact.role, run)


def ai_edge(float32: bytes, name: str, precision: str, values: np.ndarray) -> bytes:
    from ai_edge_quantizer import quantizer, recipe

    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        tool = quantizer.Quantizer(bytearray(float32))
        is_int8 = precision == "int8"
        tool.load_quantization_recipe(
            recipe.static_wi8_ai8() if is_int8 else recipe.dynamic_wi8_afp32()
        )
        data = {"serving_default": [{name: value[np.newaxis]} for value in values]}
        result = tool.quantize(tool.calibrate(data) if is_int8 else None)
        return bytes(result.quantized_model)


def arenas(subject: Subject) -> dict[str, int]:
    """By the decoder's lowering, the arena of its int8 file in TFLite Micro, where installed."""
    if not importlib.util.find_spec("tflite_micro"):
        return {}
    kind = Kind("decoder", "tflite", "int8")
    return {
        lowering: arena(Builder(subject, Settings(lowering=lowering)).build(kind).content)
        for lowering in ("polyphase", "subpixel")
    }


def arena(content: bytes) -> int:
    """The smallest arena, to 256 bytes, that TFLite Micro runs the file in."""
    from tflite_micro import runtime

    def runs(size: int) -> bool:
        try:
            with quiet():
                runtime.Interpreter.from_bytes(content, arena_size=size).invoke()
        except (RuntimeError, ValueError):
            return False
        return True

    low, high = 1 << 10, 1 << 20
    while high - low > 256:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle) else (middle, high)
    return high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=int, default=500)
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
        "quantizers": quantizers(bundle, elbos, subject, inputs),
        "tflite_micro_arena_bytes": arenas(subject),
        "float32_largest_difference": {
            a.file: a.difference for a in bundle.manifest.artifacts if a.precision == "float32"
        },
        "versions": record.versions(
            "tensorflow", "onnxruntime", "ai-edge-litert", "ai-edge-quantizer", "tflite-micro"
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
    tools = [tuple(row.values()) for row in figures["quantizers"]]
    columns = ("file", "precision", "quantizer", "loss, nats", "bytes", "microseconds")
    return (
        f"The trained model's ELBO is {figures['trained_elbo']:.3f} nats on "
        f"{figures['test_images']} test images.\n\n"
        + record.markdown_table(("figure", "value"), rows)
        + f"\nQuantizers of TFLite files, on {figures['quantizer_images']} test images:\n\n"
        + record.markdown_table(columns, tools)
    )


if __name__ == "__main__":
    main()
