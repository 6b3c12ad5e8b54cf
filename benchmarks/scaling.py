"""How time and memory grow with the number of images, latent_dim, and the image's size.

    python benchmarks/scaling.py [--images 1000000] [--only images]

Models are untrained, which changes no time, and exported to ONNX in float32. Every size is measured
in a process of its own; memory is the most that it held above what it held after its first image.
The exponent is the slope of a straight line through the logarithms: 1 is proportional, 0 is flat.
Results go to benchmarks/results/MACHINE/scaling.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record

from cvae_edge import EdgeCVAE
from cvae_edge.config import ModelConfig

BATCH = 256
LATENT_DIMS = (2, 8, 32, 128, 512, 2048)
SIDES = (28, 32, 48, 64, 96, 128)
SECONDS = 0.5  # to repeat a job for


def export_untrained(config: ModelConfig, folder: Path) -> None:
    """Write a bundle with a float32 encoder and decoder in ONNX, and nothing else."""
    from cvae_edge.training.framework import import_tensorflow

    import_tensorflow()
    from cvae_edge.architectures.presets import build_preset
    from cvae_edge.bundle import write_manifest
    from cvae_edge.exporters.passes.fold import fold
    from cvae_edge.exporters.passes.lower import lower
    from cvae_edge.exporters.passes.normalize import normalize
    from cvae_edge.exporters.targets import TARGETS
    from cvae_edge.likelihoods import make_likelihood
    from cvae_edge.manifest import Artifact, Manifest
    from cvae_edge.model_config import ModelShape
    from cvae_edge.preprocess import Pixels

    vae, target = build_preset(config), TARGETS["onnx"]
    lowering = target.lowerings["float32"]
    artifacts = []
    for role, network in (("encoder", vae.encoder), ("decoder", vae.decoder)):
        file = target.emit(lower(fold(normalize(network)), lowering), "float32")
        (folder / f"{role}.onnx").write_bytes(file.content)
        artifacts.append(
            Artifact(
                file=f"{role}.onnx",
                format="onnx",
                role=role,
                precision="float32",
                lowering=lowering if role == "decoder" else None,
                inputs=file.inputs,
                outputs=file.outputs,
                size_bytes=len(file.content),
                sha256=hashlib.sha256(file.content).hexdigest(),
                opset=file.opset,
            )
        )
    shape = ModelShape(config.image_shape, config.latent_dim)
    pixels = Pixels(config.image_shape, binarize="threshold")
    likelihood = make_likelihood("bernoulli")
    manifest = Manifest("untrained", shape, pixels, likelihood, tuple(artifacts), {}, {}, {})
    write_manifest(folder, manifest)


def peak_megabytes() -> float:
    """The most memory that this process has held; getrusage would count its parent's, too."""
    line = next(t for t in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in t)
    return int(line.split()[1]) * 1024 / 1e6


def run(bundle: str, job: str, n: int) -> dict[str, float]:
    """Time one job on ``n`` images, in this process."""
    model = EdgeCVAE.load(bundle)
    model.encode(model.generate(1))
    x = np.zeros((n if job == "encode" else 1, *model.image_shape), np.float32)
    before = peak_megabytes()

    def work() -> None:
        if job == "encode":
            model.encode(x)
        else:
            for _ in model.stream(n, batch_size=BATCH):
                pass

    seconds: list[float] = []
    while sum(seconds) < SECONDS:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": float(f"{np.median(seconds[1:] or seconds):.4g}"),
        "megabytes": round(peak_megabytes() - before, 1),
    }


def measure(bundle: Path, job: str, n: int) -> dict[str, float]:
    """``run`` in a process of its own."""
    arguments = json.dumps({"bundle": str(bundle), "job": job, "n": n})
    printed = subprocess.run(
        [sys.executable, __file__, "--run", arguments], check=True, stdout=subprocess.PIPE
    ).stdout
    figures: dict[str, float] = json.loads(printed)
    return figures


def exponents(sizes: Sequence[int], points: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the slopes of time and of memory: over all sizes, and between the last two."""
    found = {}
    for name, least in (("seconds", 1e-9), ("megabytes", 0.1)):
        x, y = np.log(sizes), np.log([max(point[name], least) for point in points])
        found[name] = {
            "all": round(float(np.polyfit(x, y, 1)[0]), 2),
            "last_two": round(float((y[-1] - y[-2]) / (x[-1] - x[-2])), 2),
        }
    return found


def against_size(title: str, models: dict[int, ModelConfig], job: str) -> dict[str, Any]:
    """Measure a job on one batch for every model, by the size that differs."""
    points = []
    for size, config in models.items():
        with tempfile.TemporaryDirectory() as folder:
            export_untrained(config, Path(folder))
            points.append({"size": size, **measure(Path(folder), job, BATCH)})
    return {"title": title, "points": points, "exponents": exponents(list(models), points)}


def against_images(largest: int) -> dict[str, Any]:
    """Measure streams of 1, 10, 100 ... images of the default model."""
    sizes = [10**power for power in range(len(str(largest)))]
    with tempfile.TemporaryDirectory() as folder:
        export_untrained(ModelConfig(), Path(folder))
        points = [{"size": n, **measure(Path(folder), "generate", n)} for n in sizes]
    title = f"stream, images, {BATCH} at a time"
    return {"title": title, "points": points, "exponents": exponents(sizes, points)}


def report(parts: dict[str, Any]) -> str:
    rows = []
    for part in parts.values():
        sizes = [f"{p['size']:,}" for p in part["points"]]
        slopes = [
            f"{part['exponents'][name]['all']:.2f}, {part['exponents'][name]['last_two']:.2f}"
            for name in ("seconds", "megabytes")
        ]
        first, last = part["points"][0], part["points"][-1]
        spans = [f"{first[n]:.3g} to {last[n]:.3g}" for n in ("seconds", "megabytes")]
        rows.append([part["title"], f"{sizes[0]} to {sizes[-1]}", spans[0], slopes[0], *spans[1:]])
        rows[-1].append(slopes[1])
    columns = ("against", "from, to", "seconds", "exponent", "MB added", "exponent")
    text = "Exponents: over all sizes, and between the last two.\n\n"
    text += record.markdown_table(columns, rows)
    for part in parts.values():
        lines = [[f"{p['size']:,}", p["seconds"], p["megabytes"]] for p in part["points"]]
        text += f"\n{part['title']}:\n\n"
        text += record.markdown_table(("size", "seconds", "MB added"), lines)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--only", help="latent_dim, side, encode_side, images; keeps the others")
    parser.add_argument("--run", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(**options.run)))
        return
    latents = {d: ModelConfig(latent_dim=d) for d in LATENT_DIMS}
    sides = {side: ModelConfig(image_shape=(side, side, 1)) for side in SIDES}
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "latent_dim": lambda: against_size(f"generate({BATCH}), latent_dim", latents, "generate"),
        "side": lambda: against_size(f"generate({BATCH}), image side", sides, "generate"),
        "encode_side": lambda: against_size(f"encode {BATCH}, image side", sides, "encode"),
        "images": lambda: against_images(options.images),
    }
    kept = record.folder() / "scaling.json"
    parts = json.loads(kept.read_text())["parts"] if kept.exists() else {}
    for name in options.only.split(",") if options.only else measures:
        parts[name] = measures[name]()
        versions = record.versions("cvae-edge", "numpy", "onnxruntime")
        figures = {"versions": versions, "batch": BATCH, "parts": parts}
        record.write("scaling", figures, "Scaling", report(parts))  # what a stopped run leaves


if __name__ == "__main__":
    main()
