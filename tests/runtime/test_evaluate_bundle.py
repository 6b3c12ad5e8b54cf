import importlib.util
import json

import numpy as np
import pytest

from cvae_edge.bundle import Bundle
from cvae_edge.elbo import image_bounds
from cvae_edge.errors import BundleError, DataError
from cvae_edge.runtime.evaluate import evaluate_bundle, open_codec


@pytest.fixture
def data(images, tmp_path):
    np.savez(tmp_path / "images.npz", x_train=images, x_test=images)
    return tmp_path / "images.npz"


def test_a_bundles_elbo_is_the_mean_of_its_images_bounds_each_with_its_own_noise(
    tiny, model, images, data
):
    bundle = Bundle.open(tiny)
    x = (images[..., np.newaxis] > 127).astype(np.float32).reshape(50, 8, 8, 1)
    bounds = image_bounds(open_codec(bundle), x, model.manifest.likelihood, samples=3, seed=5)
    assert model.bounds(images[0], samples=3, seed=5)["elbo"] == pytest.approx(bounds["elbo"][0])
    result = evaluate_bundle(bundle, open_codec(bundle), str(data), samples=3, seed=5)
    assert result.images == 50
    assert result.elbo == pytest.approx(bounds["elbo"].mean(), rel=1e-6)
    assert result.iwae == pytest.approx(bounds["iwae"].mean(), rel=1e-6)


@pytest.mark.skipif(not importlib.util.find_spec("ai_edge_litert"), reason="LiteRT not installed")
def test_both_formats_have_one_elbo(tiny, data):
    bundle = Bundle.open(tiny)
    results = [
        evaluate_bundle(bundle, open_codec(bundle, format), str(data))
        for format in ("onnx", "tflite")
    ]
    assert results[0].elbo == pytest.approx(results[1].elbo, abs=1e-4)


def test_what_cannot_be_evaluated_is_named(tiny, tmp_path):
    bundle = Bundle.open(tiny)
    with pytest.raises(DataError, match="which is not there"):  # what it was trained on
        evaluate_bundle(bundle, open_codec(bundle))
    float32 = tuple(a for a in bundle.manifest.artifacts if a.precision == "float32")
    manifest = bundle.manifest._replace(artifacts=float32)
    with pytest.raises(BundleError, match="no int8 decoder for onnx"):
        open_codec(Bundle(manifest, bundle.source, bundle._read), decoder="int8")


def test_other_data_is_made_what_the_model_was_trained_on(tiny, tmp_path):
    bundle = Bundle.open(tiny)
    path = tmp_path / "colour.npz"
    large = np.random.default_rng(0).integers(0, 256, (40, 16, 12, 3), np.uint8)
    np.savez(path, x_train=large, x_test=large[:20])
    assert evaluate_bundle(bundle, open_codec(bundle), str(path)).images == 20


def test_the_command_prints_json_and_needs_no_tensorflow(run_cli, tiny, data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    result = run_cli("evaluate", tiny, "--data", data, "--samples", "2", "--json")
    document = json.loads(result.out)
    assert document["images"] == 50
    assert document["iwae"] >= document["elbo"]
