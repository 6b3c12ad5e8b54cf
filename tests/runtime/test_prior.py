"""A learned prior on a device: what is drawn, what lies between images, and what scores mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cvae_edge import EdgeCVAE, noise
from cvae_edge.benchmark.calls import open_call
from cvae_edge.benchmark.plan import Request, make_plan
from cvae_edge.bundle import Bundle
from cvae_edge.errors import BundleError, ConfigError
from cvae_edge.manifest import MANIFEST, digest
from cvae_edge.runtime.choose import choose_files, choose_prior
from cvae_edge.runtime.evaluate import open_codec
from cvae_edge.runtime.source import open_bundle

PRIOR = Path(__file__).parents[1] / "data" / "tiny_prior"


@pytest.fixture(scope="module")
def files(prior_bundle: Path) -> dict[str, bytes]:
    """The tiny bundle with a learned prior."""
    return {path.name: path.read_bytes() for path in prior_bundle.iterdir()}


@pytest.fixture(scope="module")
def bundle(files: dict[str, bytes]) -> Bundle:
    return open_bundle(files)


@pytest.fixture(scope="module")
def flow(bundle: Bundle) -> EdgeCVAE:
    return EdgeCVAE.load(bundle, format="onnx", threads=2)


@pytest.fixture(scope="module")
def standard(bundle: Bundle) -> EdgeCVAE:
    return EdgeCVAE.load(bundle, format="onnx", threads=2, prior="standard")


def couple(weights, name: str, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for i in range(2):
        part = f"{name}_hidden_{i}"
        given = np.maximum(given @ weights[f"{part}/kernel"] + weights[f"{part}/bias"], 0)
    shift, scale = (given @ weights[f"{name}_{p}/kernel"] + weights[f"{name}_{p}/bias"]
                    for p in ("shift", "scale"))  # fmt: skip
    return shift, np.tanh(scale)


def written_out(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """eps and log p(z) by the formulas, in float64."""
    with np.load(PRIOR / "weights.npz") as archive:
        w = {name: archive[name].astype(np.float64) for name in archive.files}
    low, high = (z @ w[f"mix_0_{h}/kernel"] + w[f"mix_0_{h}/bias"] for h in ("low", "high"))
    shift, up = couple(w, "high_0", low)
    high = (high + shift) * np.exp(up)
    shift, down = couple(w, "low_0", high)
    low = (low + shift) * np.exp(down)
    eps = np.concatenate([low, high], axis=1)
    mixing = np.concatenate([w["mix_0_low/kernel"], w["mix_0_high/kernel"]], axis=1)
    log_det = np.linalg.slogdet(mixing)[1] + up.sum(axis=1) + down.sum(axis=1)
    return eps, stats.norm.logpdf(eps).sum(axis=1) + log_det


def test_generate_decodes_what_the_prior_makes_of_the_noise(flow, standard, bundle):
    eps = noise.standard_normal(40, 4, seed=3, start=7)
    z = open_codec(bundle).draw(eps)
    np.testing.assert_allclose(written_out(z)[0], eps, atol=1e-5)
    images = flow.generate(40, seed=3, start=7)
    np.testing.assert_allclose(images, standard.decode(z), atol=1e-5)
    assert np.abs(images - standard.generate(40, seed=3, start=7)).max() > 0.1
    np.testing.assert_allclose(np.concatenate([*flow.stream(40, 3, 9, 7)]), images, atol=1e-5)
    np.testing.assert_allclose(flow.generate(1, seed=3, start=9)[0], images[2], atol=1e-5)


def test_the_standard_prior_gives_the_old_stream_to_the_bit(standard, tiny):
    old = EdgeCVAE.load(tiny, format="onnx", threads=2)
    for n in (1, 40):
        np.testing.assert_array_equal(standard.generate(n, seed=5), old.generate(n, seed=5))


def test_a_bundle_without_a_prior_decodes_the_noise_itself_to_the_bit(model):
    eps = noise.standard_normal(40, 4, seed=5)
    np.testing.assert_array_equal(model.generate(40, seed=5), model.decode(eps))


def test_posteriors_and_reconstructions_take_no_notice_of_the_prior(flow, standard, images):
    np.testing.assert_array_equal(flow.encode(images).mean, standard.encode(images).mean)
    np.testing.assert_array_equal(flow.reconstruct(images), standard.reconstruct(images))


@pytest.mark.parametrize("samples", [0, 3])
def test_bounds_are_the_formula_written_out(flow, bundle, images, samples):
    x = (images[:6] > 127).astype(np.float32)
    bounds, codec = flow.bounds(images[:6], samples, seed=2), open_codec(bundle)
    mean, logvar = (v.astype(np.float64) for v in codec.encode(x))
    weights, gains = [], []
    for sample in range(samples or 1):
        eps = noise.standard_normal(1, 4, 2, 0, sample) if samples else np.zeros((1, 4))
        z = (mean + np.exp(logvar / 2) * eps).astype(np.float32)
        p = 1 / (1 + np.exp(-codec.decode(z).astype(np.float64)))
        log_px = np.log(np.where(x == 1, p, 1 - p)).sum(axis=(1, 2, 3))
        log_pz = written_out(z)[1]
        weights.append(log_px + log_pz - stats.norm.logpdf(z, mean, np.exp(logvar / 2)).sum(1))
        gains.append(log_pz - stats.norm.logpdf(z).sum(axis=1))
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) - np.mean(gains, axis=0)
    np.testing.assert_allclose(bounds["kl"], kl, atol=1e-4)
    if samples:
        np.testing.assert_allclose(bounds["elbo"], np.mean(weights, axis=0), atol=1e-3)
        iwae = np.log(np.mean(np.exp(weights), axis=0))
        np.testing.assert_allclose(bounds["iwae"], iwae, atol=1e-3)
        np.testing.assert_allclose(bounds["prior_gain"], np.mean(gains, axis=0), atol=1e-4)
    else:
        np.testing.assert_allclose(bounds["elbo_at_mean"], log_px - kl, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 2])
def test_a_score_depends_on_its_image_alone(flow, images, samples):
    together = flow.score(images, samples)
    np.testing.assert_allclose(flow.score(images[::-1], samples)[::-1], together, atol=1e-3)
    np.testing.assert_allclose(flow.score(images[7:8], samples), together[7:8], atol=1e-3)


def test_interpolation_goes_through_the_noise_and_ends_at_the_images(flow, images):
    row = flow.interpolate(images[:1], images[1:2], steps=3)[0]
    ends = flow.decode(flow.encode(images[:2]).mean)
    np.testing.assert_allclose(row[[0, 2]], ends, atol=1e-4)


@pytest.mark.parametrize("size", [1, 3, 16])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_no_draw_depends_on_its_batch(bundle, format, size):
    if format == "tflite":
        pytest.importorskip("ai_edge_litert")
    codec = open_codec(bundle, format)
    eps = noise.standard_normal(16, 4)
    z = codec.draw(eps)
    np.testing.assert_allclose(codec.draw(eps[:size]), z[:size], atol=1e-6)
    np.testing.assert_allclose(codec.prior_gain(z[:size]), codec.prior_gain(z)[:size], atol=1e-5)
    np.testing.assert_allclose(codec.normal(z), eps, atol=1e-5)


def test_integers_take_the_prior_with_kernels_of_8_bits(bundle):
    chosen = {p: [a.file for a in choose_prior(bundle.manifest, "onnx", p)]
              for p in ("float32", "float16", "int8", "dynamic_range")}  # fmt: skip
    assert chosen["float32"] == chosen["float16"] == ["prior.onnx", "density.onnx"]
    eight = ["prior.dynamic_range.onnx", "density.dynamic_range.onnx"]
    assert chosen["int8"] == chosen["dynamic_range"] == eight
    assert [a.file for a in choose_prior(bundle.manifest, "tflite", "int8")] == [
        "prior.tflite", "density.tflite",
    ]  # fmt: skip
    roles = [a.role for a in choose_files(bundle, "onnx", "float32", 1, "cpu")]
    assert roles == ["encoder", "decoder", "prior", "density"]


def test_a_benchmark_of_generate_takes_the_prior_as_well(bundle):
    plan = make_plan(bundle.manifest, Request("generate", batches=(1,)))
    onnx = {c.precision: c.files for c in plan.configurations if c.format == "onnx"}
    assert onnx["float32"] == ("prior.onnx", "decoder.onnx")
    assert onnx["int8"] == ("prior.dynamic_range.onnx", "decoder.int8.onnx")
    configuration = next(c for c in plan.configurations if c.files == onnx["int8"])
    images = open_call(bundle, configuration)(start=3)
    expected = EdgeCVAE.load(bundle, format="onnx", precision="int8").generate(1, start=3)
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_a_prior_that_is_not_there_is_refused(tiny, flow, bundle):
    with pytest.raises(BundleError, match="must have a learned prior for onnx"):
        EdgeCVAE.load(tiny, format="onnx", prior="flow")
    with pytest.raises(ConfigError, match="prior must be one of auto, flow, standard, got 'flaw'"):
        EdgeCVAE.load(tiny, prior="flaw")
    assert "prior.onnx" in repr(EdgeCVAE.load(bundle, format="onnx", prior="flow"))


def test_a_prior_without_its_density_generates_and_scores_nothing(files, images, flow):
    fields = json.loads(files[MANIFEST])
    fields["artifacts"] = [a for a in fields["artifacts"] if a["role"] != "density"]
    alone = {**files, MANIFEST: json.dumps({**fields, "digest": digest(fields)}).encode()}
    model = EdgeCVAE.load(alone, format="onnx")
    np.testing.assert_array_equal(model.generate(2), flow.generate(2))
    with pytest.raises(BundleError, match="needs the prior's density"):
        model.score(images)


def test_the_command_line_chooses_the_prior(files, tiny, tmp_path, run_cli):
    folder = tmp_path / "bundle"
    folder.mkdir()
    named = {a["file"] for a in json.loads(files[MANIFEST])["artifacts"]}
    for name in (MANIFEST, *named, *json.loads(files[MANIFEST])["files"]):
        (folder / name).write_bytes(files[name])
    drawn = {}
    for prior in ("flow", "standard", "auto"):
        out = tmp_path / f"{prior}.npy"
        result = run_cli("generate", folder, "-n", 4, "--prior", prior, "--out", out)
        assert result.code == 0, result.err
        drawn[prior] = np.load(out)
    np.testing.assert_array_equal(drawn["flow"], drawn["auto"])
    assert np.abs(drawn["flow"] - drawn["standard"]).max() > 0.1
    for command in (("generate", tiny), ("evaluate", tiny)):
        refused = run_cli(*command, "--prior", "flow")
        assert refused.code == 2
        assert refused.err.count("\n") == 1
        assert "must have a learned prior" in refused.err
