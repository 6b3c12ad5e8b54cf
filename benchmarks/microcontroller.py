"""C of int8 files: its integers on every machine, its memory, its speed, its instructions.

    python benchmarks/microcontroller.py [--cases 1000] [--tflite-micro PYTHON] [--only PART ...]
                                         [--where MACHINE ...]

The files are the reference bundle's, preset `seed`'s by lowering, and those of the models that the
tests know (tests/zoo.py). Compilers and emulators that are not installed are skipped, by name. On
Debian: apt install gcc clang gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu qemu-user nodejs
gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm wasi-libc libclang-rt-14-dev-wasm32.
PYTHON is an interpreter with tflite-micro from PyPI, which wants another numpy than TensorFlow.
PARTS are integers, memory, flash, speed and instructions, MACHINES those integers are compared on;
the others' figures are kept.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import record
from microcontroller_report import report

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from cvae_edge.training.framework import import_tensorflow  # noqa: E402

import_tensorflow()

from compiled import MACHINES, Machine, Program, graph_of, manifest, random_inputs  # noqa: E402
from litert_reference import ReferenceKernels  # noqa: E402
from zoo import MODELS, zoo  # noqa: E402
from zoo_files import int8_file  # noqa: E402

from cvae_edge.architectures.presets import build_preset  # noqa: E402
from cvae_edge.bundle import Bundle  # noqa: E402
from cvae_edge.c.layout import Layout  # noqa: E402
from cvae_edge.c.model import write_c  # noqa: E402
from cvae_edge.config import ModelConfig  # noqa: E402
from cvae_edge.quiet import quiet  # noqa: E402
from cvae_edge.runtime.engines import open_session  # noqa: E402
from cvae_edge.runtime.source import reference_bundle  # noqa: E402

PARTS = ("integers", "memory", "flash", "speed", "instructions")
BARE_CASES = 100  # inputs a file on emulated microcontrollers, which are slow
WHERE = ("x86-64", "arm64", "riscv64", "wasm", "cortex-m3", "cortex-m4", "cortex-m7")
MODEL = manifest((28, 28, 1), 50)  # bounds what graphs may take
ROLES = ("encoder", "decoder")
ROUNDS = 9
ICOUNT = ("-icount", "shift=5")
PEER = Path(__file__).with_name("microcontroller_peer.py")


def reference() -> tuple[Bundle, dict[str, bytes]]:
    bundle = Bundle.open(reference_bundle())
    find = bundle.manifest.find
    return bundle, {role: bundle.read(find(role, "tflite", "int8")) for role in ROLES}


def zoo_files() -> dict[str, bytes]:
    others = [("dense", "transposed"), ("branches", "subpixel"), ("upsampling", "transposed")]
    names = [*((name, "polyphase") for name in MODELS), *others]
    return {f"{name}_{lowering}": int8_file(zoo(name), lowering) for name, lowering in names}


def seed_files() -> dict[str, bytes]:
    vae = build_preset(ModelConfig("seed", (28, 28, 1), 50), seed=0)
    return {low: int8_file(vae.decoder, low) for low in ("polyphase", "subpixel")}


def integers(cases: int, files: dict[str, bytes], where: list[str]) -> Iterator[dict[str, Any]]:
    """How many integers differ from the reference kernels', by machine, as each is done."""
    inputs = {name: random_inputs(graph_of(c, MODEL), cases) for name, c in files.items()}
    wanted: dict[str, dict[str, np.ndarray]] = {}
    for name, content in files.items():
        kernels = ReferenceKernels(content)
        rows = [
            kernels.integers(**{k: v[i] for k, v in inputs[name].items()}) for i in range(cases)
        ]
        wanted[name] = {k: np.stack([row[k].ravel() for row in rows]) for k in rows[0]}
    for place in where:
        machine = MACHINES[place]
        if machine.missing():
            yield {place: {"skipped": f"{machine.missing()} not installed"}}
            continue
        n = min(cases, BARE_CASES) if machine.bare else cases
        few = {f: {k: v[:n] for k, v in of.items()} for f, of in inputs.items()}
        with tempfile.TemporaryDirectory() as folder:
            got = Program(Path(folder), MODEL, files, machine)(few)
        pairs = [(got[f][k], wanted[f][k][:n]) for f in files for k in wanted[f]]
        found = {
            "files": len(files),
            "cases": n,
            "integers": sum(w.size for _, w in pairs),
            "differ": int(sum((g != w).sum() for g, w in pairs)),
        }
        yield {place: found}


def peer(python: Path | None, content: bytes, what: str) -> float | None:
    """TFLite Micro's arena in bytes, or its milliseconds an image."""
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(content)
        command = [str(python), str(PEER), str(file), what]
        return float(shown(folder, *command).split()[-1])


def whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def memory(python: Path | None, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        name: {
            "arena": Layout(graph_of(content, MODEL)).arena_bytes,
            "tflite_micro_arena": whole(peer(python, content, "arena")),
        }
        for name, content in files.items()
    }


def built(folder: Path, machine: Machine, main: str, define: str = "") -> Program:
    """The reference bundle with a main of this folder in place of the tests' driver."""
    bundle, files = reference()
    program = Program(folder, bundle.manifest, files, machine)
    parts = [Path(__file__).with_name(main), "cvae_model.c", "cvae_kernels.c", "cvae_noise.c"]
    parts += ["cvae_sample.c", "cvae_floats.c", "startup.c"]
    options = ("-std=c99", "-I.", "-ffunction-sections", "-Wl,--gc-sections", f"-DRUN={define}")
    command = [*machine.compiler, *options, *map(str, parts), "-lm", "-o", "program"]
    subprocess.run(command, cwd=folder, check=True)
    return program


def shown(folder: str, *command: str) -> str:
    """What a command in a folder prints."""
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def flash() -> dict[str, Any]:
    """Code beside the constants, all functions of cvae_sample.h and their C library included."""
    machine = MACHINES["cortex-m4"]
    bundle, files = reference()
    constants = write_c(bundle.manifest, files).constant_bytes
    with tempfile.TemporaryDirectory() as folder:
        built(Path(folder), machine, "microcontroller_flash.c")
        sizes = shown(folder, "arm-none-eabi-size", "program")
    text, data = map(int, sizes.splitlines()[1].split()[:2])
    return {"constants": constants, "code": text + data - constants}


def instructions() -> dict[str, Any]:
    """Of one run on an emulated Cortex-M4, by the compiler's options."""
    machine = MACHINES["cortex-m4"]
    runner = [*machine.runner[:1], *ICOUNT, *machine.runner[1:]]
    counts: dict[str, Any] = {}
    for label, options in {
        "-Os": [],
        "-O3": ["-O3"],
        "-O3, no DSP instructions": ["-O3", "-U__ARM_FEATURE_DSP"],
    }.items():
        tried = machine._replace(compiler=[*machine.compiler, *options])
        counts[label] = {}
        for role in ROLES:
            with tempfile.TemporaryDirectory() as folder:
                built(Path(folder), tried, "microcontroller_count.c", f"cvae_{role}_run")
                count = shown(folder, *runner, "program")
            counts[label][role] = int(count)
    return counts


def speed(python: Path | None) -> dict[str, Any]:
    """Milliseconds of processor time an image, one thread; contenders take turns."""
    bundle, files = reference()
    results = {}
    for role in ROLES:
        with tempfile.TemporaryDirectory() as folder:
            calls = contenders(Path(folder), bundle, files, role)
            times: dict[str, list[float]] = {name: [] for name in calls}
            if python:
                times["TFLite Micro"] = []
            for _ in range(ROUNDS):
                for name, call in calls.items():
                    times[name].append(timed(call))
                if python:
                    times["TFLite Micro"].append(peer(python, files[role], "time") or 0.0)
        medians = {name: median(values) for name, values in times.items()}
        results[role] = {name: round(value, 4) for name, value in medians.items()}
        print(role, results[role], flush=True)
    return results


def contenders(folder: Path, bundle: Bundle, files: dict[str, bytes], role: str) -> dict[str, Any]:
    calls: dict[str, Any] = {}
    for label, options in {"C, gcc -O3": [], "C, gcc -O3 -march=native": ["-march=native"]}.items():
        machine = Machine(("gcc", "-O3", *options, "-shared", "-fPIC"))
        place = folder / str(len(calls))
        Program(place, bundle.manifest, {role: files[role]}, machine)
        library = ctypes.CDLL(str(place / "program"))
        calls[label] = getattr(library, f"cvae_{role}_run")
    artifact = bundle.manifest.find(role, "tflite", "int8")
    with quiet():
        session = open_session(artifact, files[role], threads=1)
    x = {t.name: np.zeros((1, *t.shape[1:]), np.float32) for t in artifact.inputs}
    calls["LiteRT with XNNPACK"] = lambda: session(**x)
    return calls


def timed(call: Any) -> float:
    call()
    start = time.process_time()
    for _ in range(20):
        call()
    return (time.process_time() - start) * 50


def keep(figures: dict[str, Any]) -> None:
    record.write("microcontroller", figures, "C for microcontrollers", report(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--tflite-micro", type=Path, help="a Python that has it")
    parser.add_argument("--where", nargs="+", choices=WHERE, default=WHERE)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    figures = {k: v for k, v in record.kept("microcontroller").items() if k in PARTS}
    files = {f"reference_{role}": content for role, content in reference()[1].items()}
    if "integers" in options.only:
        found = figures.setdefault("integers", {})
        for place in integers(options.cases, {**files, **zoo_files()}, options.where):
            found |= place
            keep(figures)
    if "memory" in options.only:
        seed = {f"seed_decoder_{name}": content for name, content in seed_files().items()}
        figures["memory"] = memory(options.tflite_micro, {**files, **seed})
    if "flash" in options.only:
        figures["flash"] = flash()
    if "speed" in options.only:
        figures["speed"] = speed(options.tflite_micro)
    if "instructions" in options.only:
        figures["instructions"] = instructions()
    keep(figures)


if __name__ == "__main__":
    main()
