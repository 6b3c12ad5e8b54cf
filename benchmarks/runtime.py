"""What the runtime costs beside bare onnxruntime, each ratio within one run.

    python benchmarks/runtime.py [BUNDLE] [--rounds 15]

Every comparison takes turns, round by round, after warm-up; a ratio is that of a round's medians,
and the figure the median over rounds, with the lowest and highest. Cold starts are processes of
their own, with all bytecode compiled, as pip leaves it. Results go to
benchmarks/results/MACHINE/runtime.json and .md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import record

from cvae_edge import EdgeCVAE
from cvae_edge.noise import standard_normal
from cvae_edge.runtime.source import default_bundle

Work = Callable[[], object]
COLD = {
    "ours": """
from cvae_edge import EdgeCVAE
EdgeCVAE.load({bundle!r}).generate(1)
""",
    "bare": """
import numpy as np, onnxruntime as ort
session = ort.InferenceSession({bundle!r} + "/decoder.onnx", providers=["CPUExecutionProvider"])
z = np.random.standard_normal((1, {latent_dim})).astype("float32")
session.run(None, {{"z": z}})
""",
}
TIMED = """
import time
started = time.perf_counter()
{script}
seconds = time.perf_counter() - started
pages = int(open("/proc/self/statm").read().split()[1])
import os
print(seconds, pages * os.sysconf("SC_PAGESIZE"))
"""


def median_seconds(work: Work, repeats: int, calls: int) -> float:
    """The median of ``repeats`` means over ``calls``, so that what only some calls do counts."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        seconds.append((time.perf_counter() - started) / calls)
    return float(np.median(seconds))


def take_turns(
    works: dict[str, Work], repeats: int, rounds: int, calls: int = 1
) -> dict[str, list[float]]:
    """Return seconds by name, one for each round."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            time.sleep(
                0.05
            )  # bare sessions' idle threads spin on, and would be charged to the next
            for _ in range(repeats * calls // 5):
                work()
            took = median_seconds(work, repeats, calls)
            if number:  # the first round is warm-up
                seconds[name].append(took)
    return seconds


def compare(ours: list[float], other: list[float]) -> dict[str, Any]:
    ratios = np.array(ours) / np.array(other)
    return {
        "milliseconds": round(float(np.median(ours)) * 1e3, 4),
        "other_milliseconds": round(float(np.median(other)) * 1e3, 4),
        "ratio": round(float(np.median(ratios)), 3),
        "lowest": round(float(ratios.min()), 3),
        "highest": round(float(ratios.max()), 3),
    }


def one_image(model: EdgeCVAE, bare: ort.InferenceSession, rounds: int) -> dict[str, Any]:
    z = standard_normal(1, model.latent_dim)
    place = iter(range(1 << 40))
    seeds = iter(np.random.default_rng(0).integers(1 << 60, size=1 << 20).tolist())
    works: dict[str, Work] = {
        "bare": lambda: bare.run(None, {"z": z}),
        "the next of a stream": lambda: model.generate(1, seed=0, start=next(place)),
        "the next seed each": lambda: model.generate(1, seed=next(place)),
        "any seed each": lambda: model.generate(1, seed=next(seeds)),
    }
    seconds = take_turns(works, repeats=5, rounds=rounds, calls=50)
    bare_seconds = seconds.pop("bare")
    return {
        f"generate(1), {what} / bare session.run": compare(ours, bare_seconds)
        for what, ours in seconds.items()
    }


def large_batch(model: EdgeCVAE, bare: ort.InferenceSession, rounds: int) -> dict[str, Any]:
    z = standard_normal(256, model.latent_dim)
    works = {"bare": lambda: bare.run(None, {"z": z}), "ours": lambda: model.generate(256)}
    seconds = take_turns(works, repeats=5, rounds=rounds)
    return {
        "one session.run of 256 / generate(256), so above 1 is faster": compare(
            seconds["bare"], seconds["ours"]
        )
    }


def portable_noise(latent_dim: int, rounds: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    works: dict[str, Work] = {
        "ours": lambda: standard_normal(256, latent_dim),
        "numpy": lambda: generator.standard_normal((256, latent_dim)),
    }
    seconds = take_turns(works, repeats=50, rounds=rounds)
    name = f"noise of 256 x {latent_dim} / numpy's standard_normal"
    return {name: compare(seconds["ours"], seconds["numpy"])}


def score(model: EdgeCVAE, rounds: int) -> dict[str, Any]:
    x = (model.generate(10_000) > 0.5).astype(np.uint8) * np.uint8(255)
    z = model.encode(x).mean
    works: dict[str, Work] = {
        "score": lambda: model.score(x),
        "encode": lambda: model.encode(x),
        "decode": lambda: model.decode(z),
    }
    seconds = take_turns(works, repeats=1, rounds=max(2, rounds // 2))
    both = [a + b for a, b in zip(seconds["encode"], seconds["decode"], strict=True)]
    return {"score of 10,000 / encode + decode of them": compare(seconds["score"], both)}


def run_alone(script: str, bytecode: str) -> str:
    """Run ``script`` in a process of its own and return what it prints."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    ).stdout


def cold_start(bundle: Path, latent_dim: int, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in COLD}
    memory: dict[str, list[int]] = {name: [] for name in COLD}
    scripts = {
        name: TIMED.format(
            script=script.format(bundle=str(bundle.resolve()), latent_dim=latent_dim)
        )
        for name, script in COLD.items()
    }
    with tempfile.TemporaryDirectory() as bytecode:  # filled by the first round
        for number in range(rounds + 1):
            for name in sorted(scripts, reverse=number % 2 == 0):  # each is as often the first
                printed = run_alone(scripts[name], bytecode).split()
                if number:
                    seconds[name].append(float(printed[0]))
                    memory[name].append(int(printed[1]))
    resident = {name: float(np.median(values)) / 1e6 for name, values in memory.items()}
    return {
        "import, load, first image / bare onnxruntime": compare(seconds["ours"], seconds["bare"]),
        "resident memory then": {
            "megabytes": round(resident["ours"], 1),
            "other_megabytes": round(resident["bare"], 1),
            "difference": round(resident["ours"] - resident["bare"], 1),
        },
    }


def write(figures: dict[str, Any]) -> None:
    rows: list[list[object]] = []
    for name, figure in figures.items():
        if "ratio" in figure:
            spread = f"{figure['ratio']:.2f} ({figure['lowest']:.2f} to {figure['highest']:.2f})"
            times = [f"{figure[k]:.3g} ms" for k in ("milliseconds", "other_milliseconds")]
        else:
            spread = f"{figure['difference']:+.1f} MB"
            times = [f"{figure[k]} MB" for k in ("megabytes", "other_megabytes")]
        rows.append([name, *times, spread])
    text = record.markdown_table(["A / B", "A", "B", "ratio, median (range)"], rows)
    versions = record.versions("numpy", "onnxruntime", "cvae-edge")
    record.write("runtime", {"versions": versions, "figures": figures}, "Runtime", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    bundle = options.bundle or default_bundle()
    model = EdgeCVAE.load(bundle)
    bare = ort.InferenceSession(
        str(bundle / "decoder.onnx"), providers=["CPUExecutionProvider"]
    )  # its defaults, all of them
    figures: dict[str, Any] = {}
    for part in (
        lambda: one_image(model, bare, options.rounds),
        lambda: large_batch(model, bare, options.rounds),
        lambda: portable_noise(model.latent_dim, options.rounds),
        lambda: cold_start(bundle, model.latent_dim, options.rounds),
        lambda: score(model, options.rounds),
    ):
        figures |= part()
        write(figures)  # after each part, so that a stopped run leaves what it has


if __name__ == "__main__":
    main()
