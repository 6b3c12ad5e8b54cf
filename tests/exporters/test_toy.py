"""A new format is one target and one engine, and then every command knows it."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import toy

from cvae_edge.errors import DataWarning
from cvae_edge.exporters import export_bundle, targets
from cvae_edge.runtime import engines
from cvae_edge.training import import_models


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINES", dict(engines.ENGINES))
    monkeypatch.setattr(targets, "TARGETS", dict(targets.TARGETS))
    for module in ("settings", "build", "costs", "tolerance"):
        monkeypatch.setattr(f"cvae_edge.exporters.{module}.TARGETS", targets.TARGETS)
    engines.register(toy.ENGINE)
    targets.register(toy.target())
    monkeypatch.setattr("cvae_edge.benchmark.plan.ENGINES", engines.ENGINES)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # for the worker's process


@pytest.mark.usefixtures("toys")
def test_a_toy_format_is_exported_verified_inspected_and_benchmarked(
    tmp_path: Path, run_cli
) -> None:
    x, z = keras.Input((9, 10, 1), name="x"), keras.Input((2,), name="z")
    h = keras.layers.Flatten()(x)
    encoder = keras.Model(x, [keras.layers.Dense(2)(h), keras.layers.Dense(2)(h)])
    decoder = keras.Model(z, keras.layers.Reshape((9, 10, 1))(keras.layers.Dense(90)(z)))
    for half in (encoder, decoder):
        half.set_weights([0 * weight for weight in half.get_weights()])  # a grey image, KL 0
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=255 * rng.integers(0, 2, (200, 9, 10), np.uint8))
    with pytest.warns(DataWarning, match="worse than"):  # it knows nothing
        run = import_models(encoder, decoder, str(tmp_path / "d.npz"), tmp_path / "run")
    result = export_bundle(run, tmp_path / "out", ["toy"], held_out=20, fused=False)
    assert [a.file for a in result.manifest.artifacts] == ["encoder.toy", "decoder.toy"]
    assert run_cli("verify", tmp_path / "out").code == 0
    assert "decoder.toy" in run_cli("inspect", tmp_path / "out").out
    measured = run_cli("benchmark", tmp_path / "out", "--batch", 1, "--threads", 1,
                       "--min-seconds", 0.02, "--json")  # fmt: skip
    assert measured.code == 0, measured.err
    (row,) = json.loads(measured.out)["rows"]
    assert (row["files"], row["engine"], row["status"]) == (["decoder.toy"], "Toy", "measured")
    generated = run_cli(
        "generate", tmp_path / "out", "--format", "toy", "--out", tmp_path / "a.png"
    )
    assert generated.code == 0
