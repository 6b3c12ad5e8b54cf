"""A learned prior's files are its networks, in every format and precision that it has."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE, noise
from cvae_edge.architectures.flow import Flow, new_flow
from cvae_edge.bundle import Bundle
from cvae_edge.elbo import evaluate
from cvae_edge.exporters.export import export_bundle
from cvae_edge.exporters.settings import Kind, Settings
from cvae_edge.exporters.subject import load_subject
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.guard import check_graph
from cvae_edge.manifest import ROLES, Artifact
from cvae_edge.model_config import ModelShape
from cvae_edge.quiet import quiet
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.evaluate import open_codec
from cvae_edge.runtime.verify import verify_bundle
from cvae_edge.training.evaluate import as_graph
from cvae_edge.training.run import Run

LARGEST = {"float32": 1e-5, "float16": 5e-3, "dynamic_range": 0.1}


def bent(latent_dim: int, units: int) -> Flow:
    """A flow of drawn weights, as a fitted one would be."""
    flow, rng = new_flow(latent_dim, 0, 1, units), np.random.default_rng(0)
    return Flow(
        {
            name: (value + rng.normal(0, 0.1, value.shape)).astype(np.float32)
            for name, value in flow.weights.items()
        }
    )


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("precision", LARGEST)
def test_files_give_what_the_networks_give_for_every_batch(format, precision):
    networks = bent(6, 64).networks()  # 64 x 64: the converter leaves smaller kernels in float
    eps = np.random.default_rng(1).standard_normal((16, 6)).astype(np.float32)
    given = {"prior": {"eps": eps}, "density": {"z": eps}}
    for role, network in networks.items():
        file = TARGETS[format].emit(network, precision)
        name = Kind(role, format, precision).file
        check_graph(name, format, file.content, ModelShape((8, 8, 1), 6), trusted=False)
        facts = (name, format, role, precision, None)
        entry = Artifact(*facts, file.inputs, file.outputs, len(file.content), "", file.opset)
        with quiet():
            graph = open_session(entry, file.content)
        expected = as_graph(network)(**given[role])
        whole = graph(**given[role])
        for output, value in expected.items():
            np.testing.assert_allclose(whole[output], value, atol=LARGEST[precision])
        for n in (1, 3):
            for output, value in graph(**{k: v[:n] for k, v in given[role].items()}).items():
                np.testing.assert_allclose(value, whole[output][:n], atol=1e-5)


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Bundle]:
    folder = tmp_path_factory.mktemp("prior")
    shutil.copytree(tiny_run, folder / "run")
    run = Run.open(folder / "run")
    run.save_weights(*run.read_weights(), bent(3, 16))
    export_bundle(run, folder / "bundle", ("onnx",), fused=False, held_out=100)
    return run, Bundle.open(folder / "bundle")


def test_a_run_with_a_prior_makes_a_bundle_with_one(exported):
    _, bundle = exported
    files = {a.file: a for a in bundle.manifest.artifacts}
    assert set(files) == {"encoder.onnx", "decoder.onnx", "prior.onnx", "density.onnx"}
    for role in ("prior", "density"):
        entry = files[f"{role}.onnx"]
        assert abs(entry.elbo_difference) < 1e-4
        assert entry.lowering is None
        assert "needs_trust" not in entry.report
        assert entry.report["unknown_layers"] == []
        assert entry.report["latency_us"] > 0
    assert [c.message for c in verify_bundle(bundle) if not c.ok] == []
    assert "log p(z) = log N(eps; 0, I) + log_det" in bundle.read("README.md").decode()


def test_the_trained_elbo_and_the_pairs_are_with_the_prior(exported):
    run, bundle = exported
    subject, report = load_subject(run), bundle.manifest.report
    images = subject.dataset.test.images[: report["images"]]
    got = evaluate(open_codec(bundle), images, "threshold", subject.likelihood)
    assert got.elbo == pytest.approx(report["trained_elbo"], abs=1e-3)
    assert report["pairs"][0]["elbo"] == pytest.approx(got.elbo, abs=1e-3)
    standard = open_codec(bundle, prior="standard")
    without = evaluate(standard, images, "threshold", subject.likelihood)
    assert got.elbo - got.prior_gain == pytest.approx(without.elbo, abs=1e-4)
    assert abs(got.prior_gain) > 0.01


def test_devices_draw_from_the_prior_that_was_fitted(exported):
    run, bundle = exported
    model = EdgeCVAE.load(bundle, format="onnx")
    graphs = {role: as_graph(n) for role, n in run.flow().networks().items()}
    z = graphs["prior"](eps=noise.standard_normal(5, 3, seed=2))["z"]
    np.testing.assert_allclose(model.generate(5, seed=2), model.decode(z), atol=1e-5)


def test_a_prior_has_kernels_of_8_bits_where_others_have_integers():
    kinds = Settings(formats=("tflite",), precisions=("int8",)).kinds()
    precisions = {role: [k.precision for k in kinds if k.role == role] for role in ROLES}
    assert precisions["encoder"] == precisions["decoder"] == ["float32", "int8"]
    assert precisions["prior"] == precisions["density"] == ["float32", "dynamic_range"]
    without = Settings(formats=("tflite",)).kinds(("encoder", "decoder"))
    assert {k.role for k in without} == {"encoder", "decoder"}
