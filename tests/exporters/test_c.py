"""C of exported files gives the integers of LiteRT's reference kernels, whatever the network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled import MACHINES, STRICT, Program, manifest, random_inputs, sample_program
from litert_reference import ReferenceKernels
from zoo import MODELS, zoo
from zoo_files import int8_file

from cvae_edge import noise
from cvae_edge.architectures.flow import Flow, new_flow
from cvae_edge.bundle import Bundle
from cvae_edge.c.emulate import emulate
from cvae_edge.c.emulate_floats import emulate_floats
from cvae_edge.c.files import files_of_c
from cvae_edge.c.model import HEADER, SOURCE, write_c
from cvae_edge.c.tflite_graph import read_graph
from cvae_edge.errors import BundleError
from cvae_edge.exporters.settings import Settings
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.exporters.targets.c import derive
from cvae_edge.kits.folder import read_sources
from cvae_edge.manifest import ROLES
from cvae_edge.training.evaluate import as_graph

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
    assert {*files} == {
        f"cvae_{name}" for name in ("model", "kernels", "floats", "noise", "sample")
    }
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
    kinds = {role: {(k.format, k.precision) for k in asked.kinds([role])} for role in ROLES}
    both = {("tflite", "float32"), ("tflite", "int8")}
    assert kinds["encoder"] == kinds["decoder"] == both
    assert (
        kinds["prior"] == kinds["density"] == {("tflite", "float32"), ("tflite", "dynamic_range")}
    )
    assert asked.integers() == [("tflite", "int8")]
    with pytest.raises(BundleError, match="must have int8 TFLite files"):
        derive(MODEL, {})


def test_what_c_is_made_of_includes_the_learned_prior(prior_bundle: Path) -> None:
    bundle = Bundle.open(prior_bundle)
    files = {a.file: bundle.read(a) for a in bundle.manifest.artifacts if a.format == "tflite"}
    artifact, content, beside = derive(bundle.manifest, files)
    assert artifact.report["made_of"][2:] == ["prior.tflite", "density.tflite"]
    assert [t.name for t in (*artifact.inputs, *artifact.outputs)].count("z") == 1
    assert b"cvae_prior_run" in content
    assert "cvae_floats.c" in beside


def test_a_prior_with_kernels_of_8_bits_computes_floats_with_them(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    if MACHINES["gcc"].missing():
        pytest.skip("gcc is not installed")
    bundle, rng = Bundle.open(tiny_bundle), np.random.default_rng(0)
    flow = {
        name: (value + rng.normal(0, 0.05, value.shape)).astype(np.float32)
        for name, value in new_flow(3, 0, 2, 64).weights.items()
    }
    networks = Flow(flow).networks()
    contents = {r: TARGETS["tflite"].emit(n, "dynamic_range").content for r, n in networks.items()}
    graphs = {r: read_graph(r, content, bundle.manifest.model) for r, content in contents.items()}
    halves = {a.role: bundle.read(a) for a in files_of_c(bundle.manifest)}
    (tmp_path / "flow").mkdir()
    run = sample_program(tmp_path / "flow", bundle.manifest, {**halves, **contents})
    assert "prior_0_weights" in (tmp_path / "flow" / SOURCE).read_text()
    assert "_integers[4096]" in (tmp_path / "flow" / SOURCE).read_text()

    eps = np.concatenate([noise.standard_normal(1, 3, seed) for seed in range(200)])
    z = run("draw", 0, 0, 200)
    wanted = emulate_floats(graphs["prior"], {"eps": eps})["z"]
    np.testing.assert_allclose(z, wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(z, as_graph(networks["prior"])(eps=eps)["z"], atol=0.1)

    images = rng.integers(0, 256, (20, 8, 8, 1), np.uint8)
    mean = run("encode", 0, 0, images=images)[::2].astype(np.float32)
    found = emulate_floats(graphs["density"], {"z": mean})
    gain = 0.5 * (mean**2 - found["eps"] ** 2).sum(axis=1) + found["log_det"][:, 0]
    with_prior = run("score", 0, 0, images=images)[:, 0]
    standard = sample_program(tmp_path, bundle.manifest, halves)("score", 0, 0, images=images)[:, 0]
    np.testing.assert_allclose(with_prior - standard, gain, rtol=0, atol=1e-3)
    assert np.abs(gain).max() > 0.05
