"""Noise, images, posteriors and scores in C, beside Python's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compiled import MACHINES, Run, sample_program

from cvae_edge import noise
from cvae_edge.bundle import Bundle
from cvae_edge.c.emulate import emulate
from cvae_edge.c.files import files_of_c
from cvae_edge.c.integers import dequantized, quantized
from cvae_edge.c.simplify import simplify
from cvae_edge.c.tflite_graph import read_graph
from cvae_edge.codec import Codec
from cvae_edge.elbo import reparameterize
from cvae_edge.evidence import Evidence
from cvae_edge.images import to_pixels
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.manifest import Manifest
from cvae_edge.preprocess import prepare
from cvae_edge.runtime.evaluate import open_codec
from cvae_edge.sigmoid import sigmoid

TINY = Path(__file__).parents[1] / "data" / "tiny"
MACHINE = MACHINES["gcc"]
if MACHINE.missing():
    pytest.skip(f"{MACHINE.missing()} is not installed", allow_module_level=True)

LIKELIHOODS = {
    "bernoulli": ((), "threshold"),
    "gaussian": ((0.11,), "none"),
    "logistic": ((0.05,), "none"),
}


def tiny() -> Bundle:
    return Bundle.open(TINY)


def files(bundle: Bundle) -> dict[str, bytes]:
    find = bundle.manifest.find
    return {r: bundle.read(find(r, "tflite", "int8")) for r in ("encoder", "decoder")}


def codec(manifest: Manifest, contents: dict[str, bytes]) -> Codec:
    """Return the int8 files as numpy computes them."""

    def graph(role: str) -> Callable[..., dict[str, np.ndarray]]:
        integers = simplify(read_graph(role, contents[role], manifest.model))

        def run(**values: np.ndarray) -> dict[str, np.ndarray]:
            ((name, x),) = values.items()
            given = integers.tensors[integers.inputs[name]]
            results = [
                emulate(integers, {name: one})
                for one in quantized(x, given.scale, given.zero_point)
            ]
            outputs = {n: integers.tensors[i] for n, i in integers.outputs.items()}
            return {
                n: np.concatenate([dequantized(r[n], t.scale, t.zero_point) for r in results])
                for n, t in outputs.items()
            }

        return run

    return Codec(graph("encoder"), graph("decoder"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    bundle = tiny()
    return sample_program(tmp_path_factory.mktemp("sample"), bundle.manifest, files(bundle))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)


def test_the_noise_has_the_golden_values(run: Run) -> None:
    golden = [0.15853384, 2.9828794, -1.925692, -0.82492554]  # the README's
    np.testing.assert_allclose(run("noise", 0, 0, 0, 50)[0][:4], golden, rtol=1e-6)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("seed", "index", "sample"),
    [(0, 0, 0), (7, 12, 3), (2**64 - 1, 2**64 - 1, 2**64 - 1), (1, 2**62, 0)],
)
def test_the_noise_is_pythons(
    run: Run, seed: int, index: int, sample: int, latent_dim: int
) -> None:
    wanted = noise.standard_normal(1, latent_dim, seed, index, sample)[0]
    got = run("noise", seed, index, sample, latent_dim)[0].astype(np.float32)
    np.testing.assert_allclose(got, wanted, rtol=3e-7, atol=1e-9)


def test_generated_images_are_pythons(run: Run) -> None:
    bundle = tiny()
    decode = codec(bundle.manifest, files(bundle)).decode
    for seed, index in ((0, 0), (0, 9), (5, 1000)):
        z = noise.standard_normal(1, bundle.manifest.model.latent_dim, seed, index)
        wanted = to_pixels(sigmoid(decode(z)))
        np.testing.assert_array_equal(run("generate", seed, index)[0], wanted.ravel())


def test_posteriors_and_reconstructions_are_pythons(run: Run, images: np.ndarray) -> None:
    bundle = tiny()
    python = codec(bundle.manifest, files(bundle))
    mean, logvar = python.encode(prepare(images, "threshold"))
    got = run("encode", 0, 0, images=images).reshape(len(images), 2, -1)
    np.testing.assert_allclose(got[:, 0], mean, rtol=1e-6)
    np.testing.assert_allclose(got[:, 1], logvar, rtol=1e-6)
    eps = noise.standard_normal(1, mean.shape[1], 3, 4).repeat(len(images), axis=0)
    wanted = to_pixels(sigmoid(python.decode(reparameterize(mean, logvar, eps))))
    got = run("reconstruct", 3, 4, images=images)
    # C's exponential may differ in a last bit, and so a latent by one integer.
    assert (got != wanted.reshape(len(images), -1)).any(axis=1).mean() <= 0.1


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_scores_are_pythons(name: str, images: np.ndarray, tmp_path: Path) -> None:
    scale, binarize = LIKELIHOODS[name]
    bundle = tiny()
    manifest = bundle.manifest._replace(
        likelihood=make_likelihood(name, scale, 1),
        pixels=bundle.manifest.pixels._replace(binarize=binarize),
    )
    contents = files(bundle)
    x = prepare(images, binarize)
    wanted = Evidence(codec(manifest, contents), x, manifest.likelihood).bounds()["elbo_at_mean"]
    got = sample_program(tmp_path, manifest, contents)("score", 0, 0, images=images)[:, 0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_scores_are_those_of_the_int8_file_in_litert(run: Run, images: np.ndarray) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    from cvae_edge import EdgeCVAE

    model = EdgeCVAE.load(TINY, precision="int8", format="tflite")
    got = run("score", 0, 0, images=images)[:, 0]
    # Its kernels for this processor round otherwise than the reference kernels.
    np.testing.assert_allclose(got, model.score(images), rtol=0.01)


@pytest.fixture(scope="module")
def flow(prior_bundle: Path) -> Bundle:
    return Bundle.open(prior_bundle)


@pytest.fixture(scope="module")
def run_flow(flow: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Run:
    contents = {a.role: flow.read(a) for a in files_of_c(flow.manifest)}
    assert [*contents] == ["encoder", "decoder", "prior", "density"]
    return sample_program(tmp_path_factory.mktemp("flow"), flow.manifest, contents)


def test_images_are_drawn_from_the_learned_prior(run_flow: Run, flow: Bundle) -> None:
    eps = np.concatenate([noise.standard_normal(1, 4, seed, 3) for seed in range(200)])
    z = run_flow("draw", 0, 3, 200).astype(np.float32)
    np.testing.assert_allclose(z, open_codec(flow).draw(eps), rtol=0, atol=1e-4)
    assert np.abs(z - eps).max() > 0.5
    wanted = to_pixels(sigmoid(codec(flow.manifest, files(flow)).decode(z)))
    np.testing.assert_array_equal(run_flow("generate", 0, 3, 200), wanted.reshape(200, -1))


def test_scores_are_with_the_learned_prior(
    run_flow: Run, run: Run, flow: Bundle, images: np.ndarray
) -> None:
    halves, prior = codec(flow.manifest, files(flow)), open_codec(flow)
    python = Codec(halves.encoder, halves.decoder, prior.prior, prior.density)
    x = prepare(images, "threshold")
    wanted = Evidence(python, x, flow.manifest.likelihood).bounds()["elbo_at_mean"]
    got = run_flow("score", 0, 0, images=images)[:, 0]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)
    assert np.abs(got - run("score", 0, 0, images=images)[:, 0]).min() > 0.05


def test_posteriors_and_reconstructions_take_no_notice_of_the_prior(
    run_flow: Run, run: Run, images: np.ndarray
) -> None:
    for words in (("encode", 0, 0), ("reconstruct", 3, 4)):
        np.testing.assert_array_equal(run_flow(*words, images=images), run(*words, images=images))
