"""A format of one's own, from its engine alone: every command that needs no TensorFlow knows it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy

from cvae_edge import EdgeCVAE
from cvae_edge.bundle import write_manifest
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.manifest import Artifact, Manifest, Tensor
from cvae_edge.model_config import ModelShape
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime import engines

SHAPE, LATENTS = (9, 10, 3), 2


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    engines.register(toy.ENGINE)
    yield
    del engines.ENGINES[toy.ENGINE.name]


def dense(rng: np.random.Generator, role: str) -> tuple[bytes, Artifact]:
    """Make a file of dense layers, and its entry in a manifest."""
    size = int(np.prod(SHAPE))
    shapes = {
        "encoder": {"mean": (size, LATENTS), "logvar": (size, LATENTS)},
        "decoder": {"x_logits": (LATENTS, size)},
    }[role]
    arrays = {}
    for name, shape in shapes.items():
        arrays[f"{name}/kernel"] = rng.normal(0, 0.1, shape).astype(np.float32)
        arrays[f"{name}/bias"] = np.zeros(shape[1], np.float32)
    file = io.BytesIO()
    np.savez(file, **arrays)
    content = file.getvalue()
    x, z = Tensor("x", (None, *SHAPE), "float32"), Tensor("z", (None, LATENTS), "float32")
    given = {"mean": (None, LATENTS), "logvar": (None, LATENTS), "x_logits": (None, *SHAPE)}
    return content, Artifact(
        file=f"{role}.toy",
        format="toy",
        role=role,
        precision="float32",
        lowering=None,
        inputs=(x if role == "encoder" else z,),
        outputs=tuple(Tensor(name, given[name], "float32") for name in shapes),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        tolerance=dict.fromkeys(shapes, 1e-5),
        elbo=-80.0,
        elbo_difference=0.0,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    golden = {
        "x": rng.random((5, *SHAPE), np.float32),
        "z": rng.normal(size=(5, LATENTS)).astype(np.float32),
    }
    entries = []
    for role in ("encoder", "decoder"):
        content, artifact = dense(rng, role)
        (tmp_path / artifact.file).write_bytes(content)
        run = engines.open_session(artifact, content)
        outputs = run(**{t.name: golden[t.name] for t in artifact.inputs})
        golden |= {f"{artifact.file}/{name}": values for name, values in outputs.items()}
        entries.append(artifact)
    np.savez(tmp_path / "golden.npz", **golden)
    files = {"golden.npz": hashlib.sha256((tmp_path / "golden.npz").read_bytes()).hexdigest()}
    model, pixels = ModelShape(SHAPE, LATENTS), Pixels(SHAPE)
    likelihood = make_likelihood("logistic", (0.1, 0.2, 0.1), 3)
    training = {"test_elbo": -80.0, "test_psnr": 11.5, "test_bits_per_dim": 0.43}
    manifest = Manifest("own", model, pixels, likelihood, tuple(entries), files, training, {})
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_it_is_verified_and_inspected(bundle: Path, run_cli) -> None:
    checks = json.loads(run_cli("verify", bundle, "--json").out)
    assert [check["status"] for check in checks] == ["ok", "ok"]
    shown = run_cli("inspect", bundle).out
    for words in ("encoder.toy", "logistic 0.1 0.2 0.1", "-80.00 nats", "0.43", "11.50 dB"):
        assert words in shown
    assert "does not know" not in shown


def test_it_generates_and_scores_with_the_bundles_likelihood(bundle: Path, tmp_path: Path, run_cli):
    model = EdgeCVAE.load(bundle, precision="auto")
    assert model.generate(40).shape == (40, *SHAPE)
    np.save(tmp_path / "x.npy", model.generate(3, seed=1))
    document = json.loads(run_cli("score", tmp_path / "x.npy", "-b", bundle, "--json").out)
    assert document["unit"] == "nats"
    image = document["images"][0]
    columns = ["file", "score", "elbo_at_mean", "kl", "reconstruction", "psnr", "bits_per_dim"]
    assert list(image) == columns
    dims = np.prod(SHAPE)
    assert image["bits_per_dim"] == pytest.approx(
        -image["elbo_at_mean"] / (dims * np.log(2)), abs=1e-3
    )
    error = model.bounds(np.load(tmp_path / "x.npy"))["squared_error"][0]
    assert image["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-3)


@pytest.mark.parametrize("role", ["decoder", "encoder", "reconstruct", "generate"])
def test_it_is_measured_in_a_process_that_nobody_told_where_it_is(
    bundle: Path, role: str, run_cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    options = ("--batch", 1, "--threads", 1, "--min-seconds", 0.02, "--json")
    measured = run_cli("benchmark", bundle, "--role", role, *options)
    assert measured.code == 0, measured.err
    (row,) = json.loads(measured.out)["rows"]
    assert (row["status"], row["runs_on"]) == ("measured", "Toy")
    assert row["engine"] == "Toy"


def test_without_its_engine_it_is_listed_and_refused_when_asked_for(bundle: Path, run_cli) -> None:
    del engines.ENGINES[toy.ENGINE.name]
    try:
        shown = run_cli("inspect", bundle)
        assert shown.code == 0
        assert "decoder.toy is of a kind that this cvae-edge does not know" in shown.out
        checks = json.loads(run_cli("verify", bundle, "--json").out)
        assert {check["status"] for check in checks} == {"skipped"}
        refused = run_cli("generate", bundle, "--out", bundle / "a.png")
        assert refused.code == 2
        assert "own must have files for onnx or tflite" in refused.err
    finally:
        engines.register(toy.ENGINE)
