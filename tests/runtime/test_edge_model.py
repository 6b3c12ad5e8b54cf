"""EdgeCVAE: what each method gives, and that it gives it for any batch, thread and precision."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE, Posterior
from cvae_edge.bundle import Bundle
from cvae_edge.codec import Codec
from cvae_edge.elbo import evaluate, kl_analytic, reparameterize
from cvae_edge.errors import BundleError, ConfigError, CvaeEdgeError, DataError
from cvae_edge.manifest import GOLDEN
from cvae_edge.noise import standard_normal
from cvae_edge.runtime.engines import open_session

# What one file's arithmetic may differ by between batch sizes and numbers of threads.
TOLERANCE = 2e-6


def plain_codec(tiny: Path) -> Codec:
    """The two files as they are, without anything that EdgeCVAE adds."""
    bundle = Bundle.open(tiny)
    entries = [bundle.manifest.find(role, "onnx") for role in ("encoder", "decoder")]
    return Codec(*(open_session(entry, bundle.read(entry), 1) for entry in entries))


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("only Linux tells a process its memory this way")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_generate_gives_the_decoders_probabilities_of_the_portable_noise(model, tiny):
    expected = sigmoid(plain_codec(tiny).decode(standard_normal(20, 4, seed=7)))
    got = model.generate(20, seed=7)
    assert got.shape == (20, 8, 8, 1)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def test_golden_inputs_give_the_trained_models_outputs(model, tiny):
    with np.load(tiny / GOLDEN, allow_pickle=False) as golden:
        np.testing.assert_allclose(model.encode(golden["x"]).mean, golden["mean"], atol=1e-4)
        expected = sigmoid(golden["x_logits"])
        np.testing.assert_allclose(model.decode(golden["z"]), expected, atol=1e-4)


def test_a_stream_is_the_same_for_every_start_and_batch_size(model):
    whole = model.generate(300, seed=1)
    for start, n in ((0, 1), (37, 1), (64, 64), (299, 1), (100, 200)):
        part = model.generate(n, seed=1, start=start)
        np.testing.assert_allclose(part, whole[start : start + n], atol=TOLERANCE)
    for batch_size in (1, 7, 300, 1000):
        batches = list(model.stream(300, seed=1, batch_size=batch_size))
        assert [len(b) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
        np.testing.assert_allclose(np.concatenate(batches), whole, atol=TOLERANCE)
    late = np.concatenate(list(model.stream(100, seed=1, batch_size=30, start=200)))
    np.testing.assert_allclose(late, whole[200:], atol=TOLERANCE)


@pytest.mark.parametrize("threads", [None, 1, 2, 3])
def test_the_number_of_threads_changes_no_result(tiny, model, images, threads):
    other = EdgeCVAE.load(tiny, threads=threads)
    np.testing.assert_allclose(other.generate(100, 2), model.generate(100, 2), atol=TOLERANCE)
    np.testing.assert_allclose(other.encode(images).mean, model.encode(images).mean, atol=1e-5)
    np.testing.assert_allclose(other.score(images), model.score(images), atol=1e-3)


def test_every_file_of_the_bundle_shows_the_same_images(tiny, model):
    pytest.importorskip("ai_edge_litert", reason="TFLite files need LiteRT")
    expected = model.generate(64, seed=3)
    for artifact in model.manifest.artifacts:
        if artifact.role != "decoder":
            continue
        other = EdgeCVAE.load(tiny, format=artifact.format, precision=artifact.precision)
        rounding = {"int8": 0.5, "dynamic_range": 0.3, "float16": 0.02, "float32": 1e-5}
        difference = np.abs(other.generate(64, seed=3) - expected)
        assert difference.max() < rounding[artifact.precision], artifact.file
        assert difference.mean() < rounding[artifact.precision] / 10, artifact.file


def test_encode_gives_a_posterior_that_samples_and_has_a_divergence(model, images):
    posterior = model.encode(images)
    mean, logvar = posterior
    assert isinstance(posterior, Posterior)
    assert mean.shape == logvar.shape == (50, 4)
    expected = reparameterize(mean, logvar, standard_normal(50, 4, seed=5))
    np.testing.assert_array_equal(posterior.sample(5), expected)
    late = Posterior(mean[3:], logvar[3:]).sample(5, start=3)
    np.testing.assert_array_equal(late, posterior.sample(5)[3:])
    np.testing.assert_array_equal(posterior.kl(), kl_analytic(mean, logvar))
    assert (posterior.kl() > 0).all()


def test_draws_from_a_posterior_have_its_mean_and_variance():
    mean, logvar = np.full((20_000, 2), 3, np.float32), np.full((20_000, 2), -1, np.float32)
    draws = Posterior(mean, logvar).sample(seed=1)
    assert abs(draws.mean() - 3) < 0.02
    assert abs(draws.var() - np.exp(-1)) < 0.02


def test_reconstruct_decodes_a_draw_or_the_mean(model, images):
    posterior = model.encode(images)
    by_draw = model.decode(posterior.sample(seed=8))
    by_mean = model.decode(posterior.mean)
    np.testing.assert_allclose(model.reconstruct(images, seed=8), by_draw, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(images, sample=False), by_mean, atol=1e-5)


def test_images_are_thresholded_as_in_training(model, images):
    grey = np.where(images > 127, 200, 60).astype(np.uint8)
    np.testing.assert_array_equal(model.encode(grey).mean, model.encode(images).mean)
    as_float = images.astype(np.float64) / 255
    np.testing.assert_array_equal(model.encode(as_float).mean, model.encode(images).mean)
    np.testing.assert_array_equal(model.encode(images > 0).mean, model.encode(images).mean)


def test_one_image_may_come_without_its_batch(model, images):
    expected = model.encode(images[:1]).mean
    for single in (images[0], images[0, :, :, 0]):
        np.testing.assert_array_equal(model.encode(single).mean, expected)


def test_interpolate_begins_and_ends_at_the_images(model, images):
    for path in ("spherical", "linear"):
        rows = model.interpolate(images[:3], images[3:6], steps=5, path=path)
        assert rows.shape == (3, 5, 8, 8, 1)
        ends = model.reconstruct(images[:6], sample=False)
        np.testing.assert_allclose(rows[:, 0], ends[:3], atol=1e-5)
        np.testing.assert_allclose(rows[:, -1], ends[3:], atol=1e-5)


def test_bounds_of_an_image_are_those_of_the_evaluation_of_it_alone(model, tiny, images):
    for samples in (1, 5):
        bounds = model.bounds(images, samples=samples, seed=2)
        score = model.score(images, samples, 2)
        for i in (0, 3, 17, 49):
            expected = evaluate(
                plain_codec(tiny),
                images[i : i + 1],
                "threshold",
                model.manifest.likelihood,
                samples,
                seed=2,
            )
            assert np.isclose(bounds["elbo"][i], expected.elbo, atol=1e-3)
            assert np.isclose(bounds["kl"][i], expected.kl, atol=1e-3)
            assert np.isclose(score[i], expected.iwae, atol=1e-3)


def test_the_score_is_the_likelihood_of_the_means_reconstruction_less_the_kl(model, images):
    x = (images[..., np.newaxis] > 127).reshape(50, -1)
    p = model.reconstruct(images, sample=False).reshape(50, -1).astype(np.float64)
    log_px = np.log(np.where(x, p, 1 - p)).sum(axis=1)
    expected = log_px - kl_analytic(*model.encode(images))
    np.testing.assert_allclose(model.score(images), expected, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 4])
def test_an_image_scores_the_same_at_every_place_of_every_batch(model, images, samples):
    alone = [model.score(image, samples)[0] for image in images]
    np.testing.assert_allclose(model.score(images, samples), alone, atol=2e-4)
    np.testing.assert_allclose(model.score(images[::-1], samples)[::-1], alone, atol=2e-4)
    repeated = model.score(images[[7]].repeat(100, axis=0), samples)
    assert np.ptp(repeated) < 2e-4


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_file_that_gives_nan_is_named_and_nothing_comes_of_it(
    tiny, images, monkeypatch, role, value
):
    def open_broken(artifact, *rest):
        graph = open_session(artifact, *rest)

        def run(**inputs):
            outputs = graph(**inputs)
            if artifact.role == role:
                next(iter(outputs.values())).flat[-1] = value
            return outputs

        return run

    monkeypatch.setattr("cvae_edge.runtime.codecs.open_session", open_broken)
    broken = EdgeCVAE.load(tiny, threads=2)
    calls = [lambda: broken.score(images), lambda: broken.reconstruct(images[:1])]
    if role == "decoder":
        calls += [lambda: broken.generate(1), lambda: broken.generate(300)]
    for call in calls:
        with pytest.raises(BundleError, match=f"{role}.onnx must give finite numbers"):
            call()


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_a_file_that_gives_another_shape_than_the_models_is_named(tiny, images, monkeypatch, role):
    def open_other(artifact, *rest):
        graph = open_session(artifact, *rest)
        if artifact.role != role:
            return graph
        return lambda **inputs: {name: y[:, 1:] for name, y in graph(**inputs).items()}

    monkeypatch.setattr("cvae_edge.runtime.codecs.open_session", open_other)
    other = EdgeCVAE.load(tiny, threads=1)
    with pytest.raises(BundleError, match=rf"gives .* of \(3, .*{role}\.onnx gave \(3, "):
        other.reconstruct(images[:3])


def test_more_samples_make_a_higher_bound_of_the_same_elbo(model, images):
    ones, many = [model.bounds(images, 1, seed) for seed in range(30)], model.bounds(images, 64)
    for one in ones:
        np.testing.assert_array_equal(one["elbo"], one["iwae"])
    elbo = np.mean([one["elbo"] for one in ones])
    assert (many["iwae"] >= many["elbo"]).all()
    assert many["iwae"].mean() > elbo
    assert abs(many["elbo"].mean() - elbo) < 1


def test_noise_scores_far_below_the_models_own_images(model, images):
    static = np.random.default_rng(0).integers(0, 2, images.shape).astype(np.uint8) * np.uint8(255)
    assert model.score(static).max() < np.percentile(model.score(images), 50)


def test_sixteen_threads_at_once_get_what_one_gets(tiny, images):
    formats = ["onnx"]
    if any(a.format == "tflite" for a in Bundle.open(tiny).manifest.artifacts):
        try:
            import ai_edge_litert  # noqa: F401

            formats.append("tflite")
        except ImportError:
            pass  # the base install
    for format in formats:
        alone = EdgeCVAE.load(tiny, format=format, threads=2)
        expected = {n: alone.generate(n, seed=n) for n in (1, 3, 40)}, alone.score(images)
        shared = EdgeCVAE.load(tiny, format=format, threads=2)  # nothing opened yet
        start, failures = threading.Barrier(16), []

        def work(number, shared=shared, expected=expected, start=start, failures=failures):
            start.wait()
            for n, images_of_n in expected[0].items():
                if not np.allclose(shared.generate(n, seed=n), images_of_n, atol=1e-5):
                    failures.append((number, n))
            if not np.allclose(shared.score(images), expected[1], atol=1e-3):
                failures.append((number, "score"))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures


def test_streaming_holds_the_same_memory_at_the_end_as_at_the_start(model):
    # A million images take a minute; 100,000 of these would already be 25 MB.
    stream = model.stream(100_000, seed=0, batch_size=250)
    for _ in range(8):
        next(stream)
    early = resident_bytes()
    for _ in stream:
        pass
    assert resident_bytes() - early < 4_000_000


def test_results_are_the_callers_own(model):
    first = model.generate(2, seed=0)
    kept = first.copy()
    model.generate(2, seed=1)
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    np.testing.assert_array_equal(model.generate(2, seed=0), kept)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.generate(0),
        lambda m: m.generate(-5),
        lambda m: m.generate(2.5),
        lambda m: m.generate(True),
        lambda m: m.generate("3"),
        lambda m: m.generate(1, seed=-1),
        lambda m: m.generate(100, seed=2**64),
        lambda m: m.generate(1, start=-1),
        lambda m: m.generate(10**15),
        lambda m: m.stream(0),
        lambda m: m.stream(10, batch_size=0),
        lambda m: m.score(np.zeros((2, 8, 8, 1)), samples=-1),
        lambda m: m.interpolate(np.zeros((8, 8)), np.zeros((8, 8)), steps=1),
        lambda m: m.interpolate(np.zeros((8, 8)), np.zeros((8, 8)), path="around"),
        lambda m: m.interpolate(np.zeros((8, 8)), np.zeros((2, 8, 8))),
    ],
)
def test_arguments_out_of_range_are_named(model, call):
    with pytest.raises(ConfigError, match=r"must .* got"):
        call(model)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 8, 8, 1)),
        np.zeros((2, 8, 9, 1)),
        np.zeros((2, 8, 8, 3)),
        np.zeros((2, 28, 28)),
        np.zeros(8),
        np.full((1, 8, 8, 1), np.nan),
        np.full((1, 8, 8, 1), 1.5),
        np.full((1, 8, 8, 1), -0.1),
        np.full((1, 8, 8, 1), np.inf),
        np.zeros((1, 8, 8, 1), np.int64),
        np.zeros((1, 8, 8, 1), complex),
        np.full((1, 8, 8, 1), "x"),
        np.full((1, 8, 8, 1), None),
        None,
        "an image",
    ],
)
def test_what_is_no_batch_of_the_models_images_is_refused(model, images):
    for method in (model.encode, model.reconstruct, model.score):
        with pytest.raises(DataError):
            method(images)


@pytest.mark.parametrize(
    "z",
    [
        np.zeros((0, 4)),
        np.zeros((2, 5)),
        np.zeros(4),
        np.zeros((1, 4), int),
        np.full((1, 4), np.nan),
        np.full((1, 4), np.inf),
        np.full((1, 4), 1e300),
        "z",
        None,
    ],
)
def test_what_is_no_batch_of_latents_is_refused(model, z):
    with pytest.raises(DataError, match="z must be finite"):
        model.decode(z)


def test_ragged_lists_are_refused(model):
    with pytest.raises(DataError, match="lists"):
        model.encode([[[0.0] * 8] * 8, [[0.0] * 7] * 8])
    with pytest.raises(DataError, match="lists"):
        model.decode([[0.0] * 4, [0.0] * 3])


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": -1},
        {"precision": "float8"},
        {"format": "pickle"},
        {"provider": "abacus"},
        {"provider": "cuda", "format": "tflite"},
    ],
)
def test_unknown_options_are_named(tiny, options):
    with pytest.raises(CvaeEdgeError, match=r"must|has no|runs on"):
        EdgeCVAE.load(tiny, **options)


def test_a_provider_that_is_not_here_is_refused_with_those_that_are(tiny):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's onnxruntime has CUDA")
    with pytest.raises(ConfigError, match=r"\(.*cpu.*\).*'cuda'.*onnxruntime-gpu"):
        EdgeCVAE.load(tiny, provider="cuda")


def test_a_fallback_of_onnxruntime_to_the_cpu_is_an_error(tiny, monkeypatch):
    from cvae_edge.runtime.engines import onnxruntime as providers

    # As onnxruntime is where it was built with CUDA and the machine has no driver.
    monkeypatch.setattr(
        providers.ort,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    with pytest.raises(BundleError, match=r"cuda"), pytest.warns(UserWarning, match="CUDA"):
        EdgeCVAE.load(tiny, provider="cuda")


def test_the_model_says_what_it_runs(model):
    assert "decoder.onnx" in repr(model)
    assert model.image_shape == (8, 8, 1)
    assert model.latent_dim == 4
