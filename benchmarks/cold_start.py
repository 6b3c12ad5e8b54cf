"""From a new process to the first image: import, load, run; and the memory then.

    python benchmarks/cold_start.py RUN BUNDLE [--rounds 9]

RUN is a finished run, which TensorFlow's SavedModel is made of, BUNDLE its export in both formats.
Processes take turns; the first round, which compiles and fills the disk's caches, is left out.
Figures are medians; ratios are taken within a round, to bare onnxruntime. Results go to
benchmarks/results/MACHINE/cold_start.json and .md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import record
from turns import ratio

STAGES = ("import", "load", "first image")
BASELINE = "onnxruntime"


@dataclass(frozen=True)
class Start:
    """A way to the first image: what is run for each stage. FOLDER and Z are given."""

    package: str
    stages: tuple[str, str, str]


STARTS = {
    "cvae_edge, onnx": Start(
        "onnxruntime",
        (
            "from cvae_edge import EdgeCVAE",
            "model = EdgeCVAE.load(BUNDLE, format='onnx')",
            "model.generate(1)",
        ),
    ),
    "cvae_edge, tflite": Start(
        "ai_edge_litert",
        (
            "from cvae_edge import EdgeCVAE",
            "model = EdgeCVAE.load(BUNDLE, format='tflite')",
            "model.generate(1)",
        ),
    ),
    BASELINE: Start(
        "onnxruntime",
        (
            "import numpy as np, onnxruntime as ort",
            "session = ort.InferenceSession(BUNDLE + '/decoder.onnx')",
            "session.run(None, {'z': np.random.standard_normal((1, LATENT)).astype('float32')})",
        ),
    ),
    "LiteRT": Start(
        "ai_edge_litert",
        (
            "import numpy as np; from ai_edge_litert.interpreter import Interpreter",
            "runner = Interpreter(BUNDLE + '/decoder.tflite').get_signature_runner()",
            "runner(z=np.random.standard_normal((1, LATENT)).astype('float32'))",
        ),
    ),
    "OpenVINO": Start(
        "openvino",
        (
            "import numpy as np, openvino as ov",
            "model = ov.Core().compile_model(BUNDLE + '/decoder.onnx', 'CPU')",
            "model([np.random.standard_normal((1, LATENT)).astype('float32')])",
        ),
    ),
    "TensorFlow, SavedModel": Start(
        "tensorflow",
        (
            "import numpy as np, tensorflow as tf",
            "model = tf.saved_model.load(SAVED)",
            "model.serve(np.random.standard_normal((1, LATENT)).astype('float32')).numpy()",
        ),
    ),
}
SCRIPT = """
import json, os, sys, time
BUNDLE, SAVED, LATENT = sys.argv[1], sys.argv[2], int(sys.argv[3])
clock = [time.perf_counter()]
{0}
clock.append(time.perf_counter())
{1}
clock.append(time.perf_counter())
{2}
clock.append(time.perf_counter())
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps([*clock, pages * os.sysconf("SC_PAGESIZE")]))
"""


def save_model(run: Path, folder: str) -> int:
    """Write the trained decoder as a SavedModel, as Keras does it; return latent_dim."""
    from cvae_edge.training.framework import import_tensorflow

    import_tensorflow()
    from cvae_edge.quiet import quiet
    from cvae_edge.training.run import Run

    vae = Run.open(run).vae()
    with quiet():
        vae.decoder.export(folder, verbose=False)
    return vae.latent_dim


def start(stages: tuple[str, str, str], arguments: list[str], bytecode: str) -> list[float]:
    """Return the milliseconds of each stage, and the resident megabytes at the end.

    Installed packages are compiled, a checkout need not be: so all write to ``bytecode``.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(*stages), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout.splitlines()
    *clock, resident = json.loads(printed[-1])
    return [*(np.diff(clock) * 1e3).round(2).tolist(), round(resident / 1e6, 2)]


def summary(rounds: list[list[float]], baseline: list[list[float]]) -> dict[str, Any]:
    own, other = np.array(rounds), np.array(baseline)
    *stages, resident = np.median(own, axis=0)
    return {
        "milliseconds": {name: round(ms, 1) for name, ms in zip(STAGES, stages, strict=True)},
        "total_milliseconds": round(float(np.median(own[:, :3].sum(axis=1))), 1),
        "resident_megabytes": round(resident, 1),
        "beside_onnxruntime": ratio(own[:, :3].sum(axis=1), other[:, :3].sum(axis=1)),
    }


def table(figures: dict[str, Any]) -> str:
    rows = []
    for name, figure in figures["starts"].items():
        r = figure["beside_onnxruntime"]
        rows.append(
            [
                name,
                *(f"{figure['milliseconds'][stage]:.0f}" for stage in STAGES),
                f"{figure['total_milliseconds']:.0f}",
                f"{r['ratio']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f})",
                f"{figure['resident_megabytes']:.0f}",
            ]
        )
    columns = ("", *STAGES, "together, ms", "times onnxruntime's", "resident MB")
    return record.markdown_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    there = {n: s for n, s in STARTS.items() if importlib.util.find_spec(s.package)}
    rounds: dict[str, list[list[float]]] = {name: [] for name in there}
    with tempfile.TemporaryDirectory() as folder:
        saved, bytecode = f"{folder}/saved", f"{folder}/bytecode"
        latent_dim = save_model(options.run, saved)
        arguments = [str(options.bundle.resolve()), saved, str(latent_dim)]
        for number in range(options.rounds + 1):
            for name, each in there.items():
                figures = start(each.stages, arguments, bytecode)
                if number:  # the first compiles, and fills the disk's caches
                    rounds[name].append(figures)
    figures = {
        "versions": record.versions(
            "cvae-edge", "numpy", "onnxruntime", "ai-edge-litert", "openvino", "tensorflow"
        ),
        "rounds": options.rounds,
        "starts": {name: summary(r, rounds[BASELINE]) for name, r in rounds.items()},
        "skipped": {
            n: f"{s.package} is not installed" for n, s in STARTS.items() if n not in there
        },
    }
    text = "Medians, one image with each runtime's defaults.\n\n" + table(figures)
    record.write(
        "cold_start", figures, "Cold start", text + record.skipped_text(figures["skipped"])
    )


if __name__ == "__main__":
    main()
