"""C of exported files gives the integers of LiteRT's reference kernels, whatever the network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled import MACHINES, STRICT, Program, manifest, random_inputs
from litert_reference import ReferenceKernels
from zoo import MODELS, zoo
from zoo_files import int8_file

from cvae_edge.bundle import Bundle
from cvae_edge.c.emulate import emulate
from cvae_edge.c.model import HEADER, SOURCE, write_c
from cvae_edge.errors import BundleError
from cvae_edge.exporters.settings import Settings
from cvae_edge.exporters.targets.c import derive
from cvae_edge.kits.folder import read_sources

MODEL = manifest((28, 28, 1), 50)
CASES = 20
# Each as it is exported, and those whose other forms have operators of their own.
OTHERS = [("dense", "transposed"), ("branches", "subpixel"), ("upsampling", "transposed")]
FILES = [*((name, "polyphase") for name in MODELS), *OTHERS]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {f"{name}_{lowering}": int8_file(zoo(name), lowering) for name, lowering in FILES}


def test_every_architecture_gives_the_reference_kernels_integers(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    machine = MACHINES["gcc"]
    if machine.missing():
        pytest.skip(f"{machine.missing()} is not installed")
    program = Program(tmp_path, MODEL, files, machine)
    inputs = {name: random_inputs(graph, CASES) for name, graph in program.graphs.items()}
    got = program(inputs)
    for name, content in files.items():
        kernels = ReferenceKernels(content)
        for i in range(CASES):
            case = {k: v[i] for k, v in inputs[name].items()}
            wanted = kernels.integers(**case)["x_logits"].ravel()
            np.testing.assert_array_equal(got[name]["x_logits"][i], wanted, err_msg=name)
            numpy = emulate(program.graphs[name], case)["x_logits"].ravel()
            np.testing.assert_array_equal(numpy, wanted, err_msg=name)


def test_what_computes_in_floating_point_is_refused_by_name() -> None:
    hybrid = int8_file(zoo("activations"), "transposed")  # the converter left convolutions float
    with pytest.raises(BundleError, match="CONV_2D computes with other types than int8"):
        write_c(MODEL, {"decoder": hybrid})


def test_a_bundles_c_stands_beside_what_it_is_made_of(tiny_bundle: Path, run_cli) -> None:
    bundle = Bundle.open(tiny_bundle)
    (artifact,) = [a for a in bundle.manifest.artifacts if a.format == "c"]
    assert (artifact.file, artifact.role, artifact.precision) == ("cvae_model.c", "codec", "int8")
    assert artifact.report["made_of"] == ["encoder.int8.tflite", "decoder.int8.tflite"]
    files = {f.stem: f.suffix for f in tiny_bundle.iterdir() if f.suffix in (".c", ".h")}
    assert {*files} == {"cvae_model", "cvae_kernels", "cvae_noise", "cvae_sample"}
    assert f"CVAE_ARENA_BYTES {artifact.report['arena_bytes']}" in bundle.read(HEADER).decode()
    assert bundle.read("cvae_kernels.c") == read_sources("c")["cvae_kernels.c"]
    shown = run_cli("inspect", tiny_bundle).out
    assert "cvae_model.c" in shown
    assert "does not know" not in shown
    checks = {c["file"]: c for c in json.loads(run_cli("verify", tiny_bundle, "--json").out)}
    assert checks["cvae_model.c"]["status"] == "skipped"
    assert "make check compares integers" in checks["cvae_model.c"]["message"]
    refused = run_cli("generate", tiny_bundle, "--format", "c")
    assert refused.code == 2
    assert "C is compiled for a device" in refused.err


def test_a_bundles_c_compiles_as_it_stands_and_equals_its_tflite_files(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    machine = MACHINES["gcc"]
    if machine.missing():
        pytest.skip(f"{machine.missing()} is not installed")
    for name in ("cvae_model.c", "cvae_sample.c", "cvae_noise.c"):
        command = [*machine.compiler, *STRICT, "-c", tiny_bundle / name, "-o", tmp_path / "o"]
        subprocess.run(command, check=True)
    bundle = Bundle.open(tiny_bundle)
    files = {
        role: bundle.read(bundle.manifest.find(role, "tflite", "int8"))
        for role in ("encoder", "decoder")
    }
    program = Program(tmp_path / "program", bundle.manifest, files, machine)
    assert (tmp_path / "program" / SOURCE).read_text() == bundle.read(
        bundle.manifest.find("codec", "c", "int8")
    ).decode()
    inputs = {role: random_inputs(graph, CASES) for role, graph in program.graphs.items()}
    got = program(inputs)
    for role, content in files.items():
        kernels = ReferenceKernels(content)
        for i in range(CASES):
            wanted = kernels.integers(**{k: v[i] for k, v in inputs[role].items()})
            for name, value in wanted.items():
                np.testing.assert_array_equal(got[role][name][i], value.ravel())


def test_what_c_is_made_of_is_exported_with_it() -> None:
    asked = Settings(formats=["c"], precisions=["float32"])
    kinds = {(kind.format, kind.precision) for kind in asked.kinds()}
    assert kinds == {("tflite", "float32"), ("tflite", "int8")}  # what C is made of
    assert asked.integers() == [("tflite", "int8")]
    with pytest.raises(BundleError, match="must have int8 TFLite files"):
        derive(MODEL, {})
