"""C of TFLite files, compiled and run: on this machine, on emulated ones, under sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvae_edge.c.model import HEADER, SOURCE, write_c
from cvae_edge.c.simplify import IntegerGraph, simplify
from cvae_edge.c.tflite_graph import read_graph
from cvae_edge.kits.folder import read_sources
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.manifest import Manifest
from cvae_edge.model_config import ModelShape
from cvae_edge.preprocess import Pixels

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
_SANITIZERS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_MICRO = ("-Os", "-mthumb", "-specs=rdimon.specs", "-nostartfiles", "-Tdevice.ld")
_FPU = ("-mfloat-abi=hard",)
_SEMIHOSTING = ("-nographic", "-semihosting-config", "enable=on,target=native", "-kernel")
_TENSORS = 4
_WASI = str(Path(__file__).with_name("c") / "wasi.mjs")
_DRIVER = Path(__file__).with_name("c") / "driver.c"
_SAMPLE = Path(__file__).with_name("kits") / "sample.c"
Run = Callable[..., np.ndarray]


class Machine(NamedTuple):
    """A compiler with its options, and what runs its programs."""

    compiler: Sequence[str]
    runner: Sequence[str] = ()
    bare: bool = False  # without an operating system: startup.c starts it

    def missing(self) -> str:
        """Return the programs that are not here."""
        needed = [self.compiler[0], *self.runner[:1]]
        return ", ".join(name for name in needed if shutil.which(name) is None)


def _cortex(number: int, board: int, *options: str) -> Machine:
    compiler = ("arm-none-eabi-gcc", f"-mcpu=cortex-m{number}", *options, *_MICRO)
    return Machine(compiler, ("qemu-system-arm", "-M", f"mps2-an{board}", *_SEMIHOSTING), True)


MACHINES = {
    "gcc": Machine(("gcc", *_SANITIZERS)),
    "clang": Machine(("clang", *_SANITIZERS)),
    "x86-64": Machine(("gcc", "-O3")),
    "arm64": Machine(("aarch64-linux-gnu-gcc", "-O3", "-static"), ("qemu-aarch64",)),
    "riscv64": Machine(("riscv64-linux-gnu-gcc", "-O3", "-static"), ("qemu-riscv64",)),
    "wasm": Machine(
        ("clang", "--target=wasm32-wasi", "-msimd128", "-O3"), ("node", "--no-warnings", _WASI)
    ),
    "cortex-m3": _cortex(3, 385),
    "cortex-m4": _cortex(4, 386, "-mfpu=fpv4-sp-d16", *_FPU),
    "cortex-m7": _cortex(7, 500, "-mfpu=fpv5-sp-d16", *_FPU),
}


def manifest(image_shape: tuple[int, int, int] = (8, 8, 1), latent_dim: int = 4) -> Manifest:
    """Return a manifest that allows graphs of small images."""
    pixels = Pixels(image_shape, binarize="threshold")
    shape = ModelShape(image_shape, latent_dim)
    return Manifest("test", shape, pixels, make_likelihood("bernoulli"), (), {}, {}, {})


def graph_of(content: bytes, of: Manifest) -> IntegerGraph:
    """Return what C has to compute of a file."""
    return simplify(read_graph("test", content, of.model))


def random_inputs(graph: IntegerGraph, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return integers by input, each (n, values)."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-128, 128, (n, graph.tensors[number].count)).astype(np.int8)
        for name, number in graph.inputs.items()
    }


def sample_program(folder: Path, of: Manifest, files: Mapping[str, bytes]) -> Run:
    """Return what runs kits/sample.c with its arguments, and gives the numbers that it prints."""
    model, machine = write_c(of, files), MACHINES["gcc"]
    for name, content in read_sources("c").items():
        (folder / name).write_bytes(content)
    (folder / SOURCE).write_text(model.source)
    (folder / HEADER).write_text(model.header)
    command = [*machine.compiler, *STRICT, f"-I{folder}", "-o", folder / "sample", _SAMPLE]
    subprocess.run([*command, *folder.glob("cvae_*.c"), "-lm"], check=True)

    def run(*arguments: object, images: np.ndarray | None = None) -> np.ndarray:
        if images is not None:
            (folder / "images.bin").write_bytes(images.tobytes())
        words = ["./sample", *map(str, arguments)]
        shown = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout
        return np.array([[float(v) for v in line.split()] for line in shown.splitlines()])

    return run


class Program:
    """Graphs by name, as one program."""

    def __init__(
        self, folder: Path, of: Manifest, files: Mapping[str, bytes], machine: Machine
    ) -> None:
        self._folder, self._machine = folder, machine
        self.graphs = {name: graph_of(content, of) for name, content in files.items()}
        folder.mkdir(exist_ok=True)
        model = write_c(of, files)
        texts = {SOURCE: model.source, HEADER: model.header, "graphs.h": self._header()}
        for name, content in {**read_sources("c"), **read_sources("microcontroller")}.items():
            (folder / name).write_bytes(content)
        for name, text in texts.items():
            (folder / name).write_text(text)
        (folder / "driver.c").write_bytes(_DRIVER.read_bytes())
        parts = ["driver.c", SOURCE, "cvae_kernels.c", *(["startup.c"] if machine.bare else [])]
        command = [*machine.compiler, *STRICT, "-o", "program", *parts, "-lm"]
        subprocess.run(command, cwd=folder, check=True)

    def __call__(self, requests: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict]:
        """Return each graph's outputs for its inputs, (n, values) each, in one run."""
        numbers = {name: i for i, name in enumerate(self.graphs)}
        with (self._folder / "in.bin").open("wb") as file:
            for name, inputs in requests.items():
                cases = [inputs[i] for i in self.graphs[name].inputs]
                file.write(np.array([numbers[name], len(cases[0])], "<i4").tobytes())
                file.write(np.concatenate(cases, axis=1).tobytes())
        command = [*self._machine.runner, "./program"]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)
        rest = np.fromfile(self._folder / "out.bin", np.int8)
        results: dict[str, dict] = {}
        for name, inputs in requests.items():
            graph, n = self.graphs[name], len(next(iter(inputs.values())))
            counts = [graph.tensors[i].count for i in graph.outputs.values()]
            taken, rest = rest[: n * sum(counts)].reshape(n, -1), rest[n * sum(counts) :]
            parts = np.split(taken, np.cumsum(counts)[:-1], axis=1)
            results[name] = dict(zip(graph.outputs, parts, strict=True))
        return results

    def _header(self) -> str:
        entries = []
        for name, graph in self.graphs.items():
            lists = [
                ", ".join(f"&cvae_{name}_{t}" for t in names)
                for names in (graph.inputs, graph.outputs)
            ]
            entries.append(f"    {{cvae_{name}_run, {{{lists[0]}}}, {{{lists[1]}}}}},")
        return "\n".join(
            [
                f'#include "{HEADER}"',
                f"#define TEST_TENSORS {_TENSORS}",
                "typedef struct { void (*run)(void); const cvae_tensor *inputs[TEST_TENSORS + 1],",
                "    *outputs[TEST_TENSORS + 1]; } test_graph;",
                "static const test_graph test_graphs[] = {",
                *entries,
                "};",
                "",
            ]
        )
