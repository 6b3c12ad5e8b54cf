"""The bundle that ships with the package: whole, right on this machine, and good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.bundle import Bundle
from cvae_edge.config import DataConfig
from cvae_edge.datasets import load_dataset
from cvae_edge.runtime.source import open_bundle, reference_bundle
from cvae_edge.runtime.verify import verify_bundle


@pytest.fixture(scope="module")
def folder() -> Path:
    folder = reference_bundle()
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def reference(folder) -> Bundle:
    return open_bundle(folder)


def test_every_file_does_here_what_it_did_where_it_was_made(reference):
    checks = verify_bundle(reference)
    assert any(check.status == "ok" for check in checks)
    assert not [check.message for check in checks if check.status == "failed"]


def test_it_is_small_and_holds_what_its_manifest_names_and_nothing_else(reference, folder):
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    manifest = reference.manifest
    named = {artifact.file for artifact in manifest.artifacts} | set(manifest.files)
    assert set(files) == named | {"manifest.json"}
    assert sum(files.values()) < 9_000_000


def test_it_has_both_formats_in_float32_and_int8(reference):
    for role in ("encoder", "decoder"):
        for format in ("onnx", "tflite"):
            for precision in ("float32", "int8"):
                artifact = reference.manifest.find(role, format, precision)
                assert artifact.elbo_difference > -0.02  # nats


def test_it_has_a_learned_prior_in_both_formats(reference):
    for role in ("prior", "density"):
        for format in ("onnx", "tflite"):
            for precision in ("float32", "dynamic_range"):
                reference.manifest.find(role, format, precision)


def test_it_knows_digits_from_noise(reference):
    model = EdgeCVAE.load(reference)
    digits = load_dataset(DataConfig()).test.images[:200]
    scores = model.score(digits)
    elbo = model.bounds(digits, samples=1)["elbo"].mean()
    assert -80 < elbo < -65  # nats; -69.5 on all test images, -77.6 without the learned prior
    assert elbo < scores.mean() < -50  # the score is at the mean, where the likelihood is higher
    noise = np.random.default_rng(0).integers(0, 2, digits.shape).astype(np.uint8) * np.uint8(255)
    assert model.score(noise).max() < scores.min()


def test_every_precision_draws_the_same_digits(reference):
    float32 = EdgeCVAE.load(reference, format="onnx").generate(32, seed=1)
    int8 = EdgeCVAE.load(reference, format="onnx", precision="int8").generate(32, seed=1)
    assert np.abs(int8 - float32).mean() < 0.03
