"""A monitor in a bundle: its verdicts, its promises, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.bundle import Bundle, sha256_of, write_manifest
from cvae_edge.errors import BundleError, ConfigError, DataError
from cvae_edge.manifest import Manifest
from cvae_edge.monitor.fitting import fit
from cvae_edge.monitor.methods import METHODS
from cvae_edge.monitor.monitor import fit_monitors
from cvae_edge.runtime.monitoring import fit_bundle
from cvae_edge.runtime.verify import verify_bundle

TINY = Path(__file__).parents[1] / "data" / "tiny"


def test_noise_is_anomalous_and_good_images_are_not(monitored, noise):
    model = EdgeCVAE.load(monitored)
    assert model.monitor.check(noise).anomalous.all()
    aside = (model.generate(400, seed=77) > 0.5).astype(np.uint8) * np.uint8(255)
    verdicts = model.monitor.check(aside)
    assert 0.005 < verdicts.anomalous.mean() < 0.11
    assert np.median(verdicts.score) == pytest.approx(0, abs=0.1)
    np.testing.assert_array_equal(verdicts.anomalous, verdicts.score > 1)
    assert verdicts.heat is not None
    assert verdicts.heat.shape == (400, 8, 8)
    assert model.monitor.check(aside[:2], heat=False).heat is None


def test_a_score_depends_on_its_image_alone(monitored, noise):
    monitor = EdgeCVAE.load(monitored, threads=2).monitor
    together = monitor.check(np.concatenate([noise] * 5))
    alone = monitor.check(noise[3])
    np.testing.assert_allclose(together.score[3], alone.score[0], rtol=1e-4)
    np.testing.assert_allclose(together.heat[3], alone.heat[0], rtol=1e-3)


def test_int8_shares_the_threshold_of_float32_and_its_verdicts(monitored, noise, good):
    images = np.concatenate([noise, good])
    both = [EdgeCVAE.load(monitored, precision=p).monitor for p in ("float32", "int8")]
    assert both[0].fit.threshold == both[1].fit.threshold
    verdicts = [monitor.check(images).anomalous for monitor in both]
    assert (verdicts[0] != verdicts[1]).mean() <= 0.01


def test_files_that_see_otherwise_get_a_threshold_of_their_own(good):
    one, other = EdgeCVAE.load(TINY), EdgeCVAE.load(TINY)
    measure = other.measure
    other.measure = lambda x, of_chunk: {k: 3 * v for k, v in measure(x, of_chunk).items()}
    first, second, third = fit_monitors([one, other, one], good, "elbo", 0.05)
    assert first.fit is third.fit
    assert second.fit.threshold == pytest.approx(3 * first.fit.threshold)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_its_rate_and_can_be_read_back(bundle, good, noise, method):
    fitted = fit_bundle(bundle, good, method=method, false_alarms=0.1, precisions=["float32"])
    (_, monitor), *_ = fitted.monitors
    low, high = monitor.fit.interval
    assert low < 0.1 < high
    read = EdgeCVAE.load(bundle).monitor
    assert read.settings == monitor.settings
    np.testing.assert_allclose(read.check(noise).score, monitor.check(noise).score, rtol=1e-6)
    assert read.maps == (read.check(noise).heat is not None)


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_alarms_lie_in_the_stated_interval_over_twenty_splits(rate):
    """Features that a field takes, of images that are known to be alike; many are kept aside."""
    method, rng = METHODS["field"], np.random.default_rng(0)
    common = rng.normal(size=(8000, 1))
    energies = np.exp(common + rng.normal(size=(8000, 10))).astype(np.float32)
    inside = 0
    for split in range(20):
        order = np.random.default_rng(split).permutation(8000)
        fitted = fit(method, energies[order[:400]], (4, 4), 1, rate)
        aside = method.distance(energies[order[400:]], fitted.statistics)
        low, high = fitted.interval
        inside += low <= (aside > fitted.threshold).mean() <= high
    assert inside >= 17  # 19 are to be expected of 95% intervals


def test_threshold_leaves_out_of_the_statistics_what_it_scores():
    """In few images of many cells, each is close to a Gaussian that has seen it."""
    method, rng = METHODS["field"], np.random.default_rng(1)
    energies = np.exp(rng.normal(size=(2000, 58))).astype(np.float32)
    fitted = fit(method, energies[:100], (8, 8), 1, 0.05)
    seen = method.distance(energies[:100], fitted.statistics)
    aside = method.distance(energies[100:], fitted.statistics)
    assert (seen > fitted.threshold).mean() < (aside > fitted.threshold).mean() < 0.12


def test_a_bundle_with_a_monitor_verifies_and_older_readers_skip_it(monitored):
    assert all(check.status != "failed" for check in verify_bundle(Bundle.open(monitored)))
    fields = json.loads((monitored / "manifest.json").read_text())
    assert fields["monitor"] == "monitor.json"
    assert {"monitor.json", "monitor.npz"} <= set(fields["files"])
    assert "monitor" in Manifest._field_defaults  # so that it may be missing: it is in old ones
    assert Bundle.open(TINY).manifest.monitor is None


def test_a_new_monitor_takes_the_old_ones_place(bundle, good):
    fit_bundle(bundle, good, method="kl", false_alarms=0.1, precisions=["float32"])
    before = {p.name for p in bundle.iterdir()}
    fit_bundle(bundle, good, method="elbo", false_alarms=0.1, precisions=["float32"])
    assert {p.name for p in bundle.iterdir()} == before
    assert EdgeCVAE.load(bundle).monitor.settings.method == "elbo"


def test_a_model_takes_its_monitor_along_when_it_is_pickled(monitored, noise):
    model = EdgeCVAE.load(monitored, precision="int8", threads=1)
    again = pickle.loads(pickle.dumps(model))
    expected = model.monitor.check(noise).score
    np.testing.assert_array_equal(again.monitor.check(noise).score, expected)


def test_large_images_are_looked_at_in_windows(bundle):
    model = EdgeCVAE.load(bundle)
    tiles = (model.generate(400 * 6, seed=3) > 0.5).reshape(400, 3, 2, 8, 8)
    large = tiles.swapaxes(2, 3).reshape(400, 24, 16, 1).astype(np.uint8) * np.uint8(255)
    fit_bundle(bundle, large, false_alarms=0.05, precisions=["float32"])
    monitor = EdgeCVAE.load(bundle).monitor
    assert monitor.settings.image_shape == (24, 16, 1)
    bad = large[:50].copy()
    bad[:, 8:16, 8:16] = np.where(np.random.default_rng(0).random((50, 8, 8, 1)) > 0.5, 255, 0)
    verdicts = monitor.check(bad)
    assert verdicts.anomalous.mean() > 0.25  # of good ones, a twentieth
    rows, columns = np.unravel_index(verdicts.heat.reshape(50, -1).argmax(axis=1), (24, 16))
    assert np.mean((rows >= 6) & (rows < 18) & (columns >= 6)) > 0.6
    with pytest.raises(DataError, match="24, 16"):
        monitor.check(bad[:, :8, :8])


@pytest.mark.parametrize(
    ("images", "options", "error", "words"),
    [
        (np.zeros((400, 8, 8)), {}, DataError, "must differ from each other"),
        (np.zeros((400, 4, 8)), {}, DataError, "or be larger"),
        (np.zeros((40, 8, 8)), {}, DataError, "1% needs at least 300 good images, got 40"),
        (np.zeros((400, 8, 8)), {"false_alarms": 0}, ConfigError, "above 0 and below 1"),
        (np.zeros((400, 8, 8)), {"false_alarms": 1.0}, ConfigError, "above 0 and below 1"),
        (np.zeros((400, 8, 8)), {"method": "magic"}, ConfigError, "method must be one of"),
        (np.zeros((400, 8, 8)), {"precisions": ["int2"]}, ConfigError, "precision must be"),
    ],
)
def test_what_no_monitor_can_be_fitted_on_is_refused_and_nothing_written(
    bundle, images, options, error, words
):
    before = {p: p.read_bytes() for p in bundle.iterdir()}
    with pytest.raises(error, match=words):
        fit_bundle(bundle, images, **options)
    assert {p: p.read_bytes() for p in bundle.iterdir()} == before


def rewrite(folder: Path, **changes: object) -> None:
    """Change fields of a bundle's monitor, and the manifest with it."""
    path = folder / "monitor.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    manifest = Bundle.open(folder).manifest
    files = {**manifest.files, "monitor.json": sha256_of(path)}
    write_manifest(folder, manifest._replace(files=files))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 2}, "format_version must be 1"),
        ({"method": "magic"}, "method must be one of"),
        ({"false_alarms": "x"}, "false_alarms must be a number"),
        ({"image_shape": [8, 8]}, "image_shape"),
        ({"fits": [{"files": [{"encoder.onnx": "0", "decoder.onnx": "0"}]}]}, "another model's"),
        ({"fits": []}, "not for decoder.onnx and encoder.onnx"),
        ({"arrays": "golden.npz"}, "files must be monitor.json and monitor.npz"),
    ],
)
def test_a_wrong_monitor_is_refused(tmp_path, monitored, noise, changes, words):
    shutil.copytree(monitored, tmp_path / "b")
    rewrite(tmp_path / "b", **changes)
    with pytest.raises(BundleError, match=words):
        EdgeCVAE.load(tmp_path / "b").monitor.check(noise)


def test_a_damaged_monitor_is_found_and_one_for_other_files_names_what_to_do(tmp_path, monitored):
    shutil.copytree(monitored, tmp_path / "b")
    with pytest.raises(BundleError, match="fit it for these too, with cvae-edge monitor"):
        EdgeCVAE.load(tmp_path / "b", precision="float16").monitor  # noqa: B018
    content = bytearray((tmp_path / "b" / "monitor.npz").read_bytes())
    content[100] ^= 1
    (tmp_path / "b" / "monitor.npz").write_bytes(content)
    with pytest.raises(BundleError, match="changed or damaged"):
        EdgeCVAE.load(tmp_path / "b").monitor  # noqa: B018
    with pytest.raises(BundleError, match="has no monitor"):
        EdgeCVAE.load(TINY).monitor  # noqa: B018


def test_a_bundle_without_a_decoder_has_scores_and_no_heat_maps(tmp_path, good, noise):
    manifest = Bundle.open(TINY).manifest
    encoders = tuple(a for a in manifest.artifacts if a.role == "encoder")
    (tmp_path / "b").mkdir()
    for artifact in encoders:
        shutil.copy(TINY / artifact.file, tmp_path / "b")
    write_manifest(tmp_path / "b", manifest._replace(artifacts=encoders, files={}))
    fit_bundle(tmp_path / "b", good, false_alarms=0.1, precisions=["float32"])
    monitor = EdgeCVAE.load(tmp_path / "b").monitor
    assert (monitor.settings.method, monitor.maps) == ("kl", False)
    assert monitor.check(noise).score.shape == (20,)
    with pytest.raises(BundleError, match="field needs a decoder"):
        list(fit_monitors([EdgeCVAE.load(tmp_path / "b")], good, "field", 0.1))


def test_a_monitor_is_that_of_the_prior_it_was_fitted_with(prior_bundle, tmp_path, good):
    bundle = shutil.copytree(prior_bundle, tmp_path / "bundle")
    fit_bundle(bundle, good, method="elbo", false_alarms=0.05, precisions=["float32", "int8"])
    for precision in ("float32", "int8"):
        model = EdgeCVAE.load(bundle, precision=precision)
        score = -model.score(good[:50])
        fit = model.monitor.fit
        verdicts = model.monitor.check(good[:50]).score
        wanted = (score - fit.typical) / (fit.threshold - fit.typical)
        np.testing.assert_allclose(verdicts, wanted, atol=1e-3)
    with pytest.raises(BundleError, match="fitted with the learned prior"):
        EdgeCVAE.load(bundle, prior="standard").monitor.check(good[:1])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_bounds_that_are_told_beside_verdicts_are_the_models(monitored, noise, good, precision):
    model = EdgeCVAE.load(monitored, precision=precision)
    images = np.concatenate([noise, good[:80]])
    assert model.monitor.check(images).bounds == {}
    told, wanted = model.monitor.check(images, bounds=True).bounds, model.bounds(images)
    assert told.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(told[name], values, rtol=1e-6)
