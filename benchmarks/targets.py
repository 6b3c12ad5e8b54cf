"""A bundle's files in every engine that will take them: right or not, nats, bytes, milliseconds.

    python benchmarks/targets.py BUNDLE FOLDER [--npu BUNDLE] [--only ENGINE ...]

Each engine has an environment of its own in FOLDER, which is made where it is missing, by pip or
npm. It opens each file in a process of its own with a time limit, and runs images one at a time, on
one thread: the golden inputs, then test images whose ELBO stands beside that of the float32 ONNX
files in onnxruntime. "C" is this package's own, compiled with gcc. Then comes what only converts
files, "converters" after --only: vela for Ethos-U55 by its own estimate, of both bundles' int8
TFLite files, and coremltools. What is not run this time keeps its figures. They go to
benchmarks/results/MACHINE/targets.json and .md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import record
from targets_convert import COREMLTOOLS, NO_WAY_IN, VELA, coremltools, vela
from targets_report import report
from targets_trial import Trial

from cvae_edge.bundle import Bundle
from cvae_edge.codec import Array
from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.runtime.evaluate import open_codec

HERE = Path(__file__).parent
IMAGES = 1000
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True)
class Engine:
    """What to install, in an environment of its own, and what it is given."""

    packages: tuple[str, ...]
    formats: tuple[str, ...] = ("onnx",)
    alone: tuple[str, ...] = ()  # packages to install without those that they ask for
    npm: bool = False
    precisions: tuple[str, ...] = PRECISIONS


_TFLITE, _BOTH = ("tflite",), ("onnx", "tflite")
ENGINES = {
    "onnxruntime": Engine(("onnxruntime==1.32.0",)),
    "openvino": Engine(("openvino==2026.4.1",), _BOTH),
    "tract": Engine(("tract==0.23.9", "numpy")),
    "iree": Engine(("iree-base-compiler[onnx]==3.13.0", "iree-base-runtime==3.13.0")),
    "tvm": Engine(("apache-tvm==0.27.0.post1", "onnx", "tflite", "numpy"), _BOTH),
    "mnn": Engine(("mnn==3.6.1", "numpy"), _BOTH),
    "ncnn": Engine(("ncnn==1.0.20261020",), alone=("pnnx==20261020",)),
    "opencv": Engine(("opencv-python-headless==5.0.0.93",), _BOTH),
    "tinygrad": Engine(("tinygrad==0.14.0", "numpy")),
    "onnxruntime_node": Engine(("onnxruntime-node@1.30.0",), npm=True),
    "onnxruntime_web": Engine(("onnxruntime-web@1.30.0",), npm=True),
    "litert": Engine(("ai-edge-litert==2.3.0",), _TFLITE),
    "litert_js": Engine(("@litertjs/core@2.5.3",), _TFLITE, npm=True),
    "tflite_micro": Engine(("tflite-micro==0.dev20261023182759",), _TFLITE),
    "c": Engine((), _TFLITE, precisions=("int8",)),
}


def worker_of(name: str, folder: Path) -> list[str]:
    """Return the command of an engine's worker, in an environment that is made if need be."""
    engine, place = ENGINES[name], folder / name
    if engine.packages:
        install(engine, place)
    if engine.npm:
        # LiteRT.js is made for browsers, which have these instructions.
        node = ["node", "--experimental-wasm-relaxed-simd", str(HERE / "targets_node.mjs")]
        return [*node, name, str(place / "node_modules")]
    python = str(place / "bin" / "python") if engine.packages else sys.executable
    return [python, str(HERE / "targets_python.py"), name]


def install(engine: Engine, place: Path) -> Path:
    """Make an environment, if it is not there, and return where it is."""
    done, wanted = place / "installed", " ".join((*engine.packages, *engine.alone))
    if not done.exists() or done.read_text() != wanted:
        print(f"installing {wanted}", flush=True)
        for command in installation(engine, place):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        done.write_text(wanted)
    return place


def installation(engine: Engine, place: Path) -> list[list[str]]:
    if engine.npm:
        return [["npm", "install", "--prefix", str(place), "--ignore-scripts", *engine.packages]]
    pip = [str(place / "bin" / "pip"), "install", "--quiet"]
    commands = [[sys.executable, "-m", "venv", str(place)], [*pip, *engine.packages]]
    return [*commands, [*pip, "--no-deps", *engine.alone]] if engine.alone else commands


def test_images(bundle: Bundle) -> Array:
    dataset = load_dataset(DataConfig.from_dict(bundle.manifest.training["data"]))
    return dataset.test.images[:IMAGES]


def converted(bundles: list[Bundle], folder: Path) -> dict[str, Any]:
    """What converters make of the files, or why they do not."""
    first, programs = bundles[0], {}
    for name, package in {"vela": VELA, "coremltools": COREMLTOOLS}.items():
        programs[name] = install(Engine((package,)), folder / name) / "bin"
    return {
        "vela": {settings_of(b): vela(programs["vela"] / "vela", b) for b in bundles},
        "coremltools": coremltools(programs["coremltools"] / "python", first),
        "no_way_in": NO_WAY_IN,
    }


def settings_of(bundle: Bundle) -> str:
    artifact = bundle.manifest.find("decoder", "tflite", "int8")
    return f"--io {artifact.inputs[0].dtype} --lowering {artifact.lowering}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path, help="of the engines' environments")
    parser.add_argument("--npu", type=Path, help="exported with --io int8 --lowering phases")
    known = (*ENGINES, "converters")
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="ENGINE")
    options = parser.parse_args()
    bundle, folder = Bundle.open(options.bundle), options.folder.resolve()
    bundles = [bundle, *([Bundle.open(options.npu)] if options.npu else [])]
    images = test_images(bundle)
    figures = {k: v for k, v in record.kept("targets").items() if k in ("engines", "converters")}
    exact = Trial(bundle, images).elbo(open_codec(bundle))
    figures |= {"bundle": bundle.manifest.name, "images": IMAGES, "elbo": exact}
    engines = figures.setdefault("engines", {})
    for name in options.only:
        print(f"== {name}", flush=True)
        if name == "converters":
            figures["converters"] = converted(bundles, folder)
        else:
            engine, trial = ENGINES[name], Trial(bundle, images, worker_of(name, folder))
            engines[name] = {
                "packages": list(engine.packages + engine.alone),
                "formats": {f: {p: trial(f, p) for p in engine.precisions} for f in engine.formats},
            }
        figures["engines"] = {name: engines[name] for name in ENGINES if name in engines}
        record.write("targets", figures, "Engines", report(figures))


if __name__ == "__main__":
    main()
