"""Which files a bundle's user gets who leaves it open."""

from __future__ import annotations

import pytest

from cvae_edge.bundle import Bundle
from cvae_edge.errors import BundleError, ConfigError, DependencyError
from cvae_edge.manifest import Artifact
from cvae_edge.runtime import choose, engines
from cvae_edge.runtime.choose import choose_artifact, choose_format, choose_pair


def artifact(role: str, format: str, precision: str, difference: float | None) -> Artifact:
    return Artifact(
        file=f"{role}.{precision}.{format}",
        format=format,
        role=role,
        precision=precision,
        lowering=None,
        inputs=(),
        outputs=(),
        size_bytes=1,
        sha256="0" * 64,
        elbo=None if difference is None else -80.0 + difference,
        elbo_difference=difference,
    )


@pytest.fixture
def manifest(tiny):
    """What the tiny bundle's manifest says, with other artifacts."""
    entries = [
        artifact(role, format, precision, difference)
        for role in ("encoder", "decoder")
        for format in ("onnx", "tflite")
        for precision, difference in (("float32", 0.0), ("int8", -0.2), ("dynamic_range", -0.9))
    ]
    return Bundle.open(tiny).manifest._replace(artifacts=tuple(entries))


def without(manifest, *, format: str):
    kept = tuple(a for a in manifest.artifacts if a.format != format)
    return manifest._replace(artifacts=kept)


def test_auto_takes_onnx_where_onnxruntime_is_installed(manifest):
    assert choose_format(manifest) == "onnx"
    assert choose_format(manifest, "tflite") == "tflite"


def test_auto_takes_what_the_bundle_has(manifest, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: object())
    assert choose_format(without(manifest, format="onnx")) == "tflite"


def test_auto_takes_what_is_installed(manifest, monkeypatch):
    monkeypatch.setattr(
        engines.importlib.util, "find_spec", lambda name: name == "tflite_runtime" or None
    )
    assert choose_format(manifest) == "tflite"


def test_nothing_installed_is_told_with_the_way_to_it(manifest, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install"):
        choose_format(manifest)


def test_a_format_that_is_missing_is_named_with_those_there_are(manifest):
    with pytest.raises(BundleError, match=r"tflite; it has: .*encoder\.float32\.onnx"):
        choose_format(without(manifest, format="tflite"), "tflite")


def test_an_unknown_format_or_precision_is_named(manifest):
    with pytest.raises(ConfigError, match="'gguf'"):
        choose_format(manifest, "gguf")
    with pytest.raises(ConfigError, match="'int2'"):
        choose_artifact(manifest, "decoder", "onnx", "int2")


def test_auto_precision_is_the_fastest_that_loses_little(manifest):
    latencies = {"float32": 30.0, "int8": 20.0, "dynamic_range": 1.0}
    entries = tuple(
        a._replace(report={"latency_us": latencies[a.precision]}) for a in manifest.artifacts
    )
    manifest = manifest._replace(artifacts=entries)
    assert choose_artifact(manifest, "decoder", "tflite", "auto").precision == "int8"
    entries = tuple(
        a._replace(elbo_difference=-0.51, elbo=-80.51) if a.precision == "int8" else a
        for a in manifest.artifacts
    )
    lossy = manifest._replace(artifacts=entries)
    assert choose_artifact(lossy, "decoder", "tflite", "auto").precision == "float32"


def test_auto_precision_goes_by_the_manifests_latencies(manifest):
    latencies = {"float32": 30.0, "int8": 20.0, "dynamic_range": 1.0}
    entries = tuple(
        a._replace(report={"latency_us": latencies[a.precision]}) for a in manifest.artifacts
    )
    measured = manifest._replace(artifacts=entries)
    assert choose_artifact(measured, "decoder", "onnx", "auto").precision == "int8"


def test_the_budget_grows_with_the_data(manifest):
    entries = tuple(
        a._replace(elbo_difference=-0.9, elbo=-5000.9) if a.precision == "int8" else a
        for a in manifest.artifacts
    )
    large = manifest._replace(artifacts=entries)
    assert choose_artifact(large, "decoder", "tflite", "float32").precision == "float32"
    chosen = choose.is_acceptable(large, large.find("decoder", "tflite", "int8"))
    assert chosen  # 0.02% of 5,000 nats is 1


def test_a_bundle_without_an_encoder_has_a_decoder_alone(manifest):
    decoders = tuple(a for a in manifest.artifacts if a.role == "decoder")
    alone = manifest._replace(artifacts=decoders)
    assert [a.role for a in choose.choose_pair(alone, choose_format(alone), "int8")] == ["decoder"]


def test_auto_takes_the_format_with_most_halves(manifest):
    kept = tuple(a for a in manifest.artifacts if (a.role, a.format) != ("decoder", "onnx"))
    manifest = manifest._replace(artifacts=kept)
    assert choose_format(without(manifest, format="tflite")) == "onnx"
    if engines.is_installed(engines.find_engine("tflite")):
        assert choose_format(manifest) == "tflite"


def test_a_half_that_lacks_the_precision_is_left_out(manifest):
    kept = tuple(a for a in manifest.artifacts if (a.role, a.precision) != ("encoder", "int8"))
    manifest = manifest._replace(artifacts=kept)
    assert [a.file for a in choose_pair(manifest, "onnx", "int8")] == ["decoder.int8.onnx"]
    assert len(choose_pair(manifest, "onnx", "float32")) == len(
        choose_pair(manifest, "onnx", "auto")
    )
    with pytest.raises(BundleError, match="has no float16 encoder for onnx"):
        choose_pair(manifest, "onnx", "float16")


def test_auto_precision_never_takes_what_nobody_measured(manifest):
    entries = tuple(
        a._replace(elbo_difference=None) for a in manifest.artifacts if a.precision != "float32"
    )
    unmeasured = manifest._replace(artifacts=entries)
    with pytest.raises(BundleError, match="loses little enough"):
        choose_artifact(unmeasured, "decoder", "onnx", "auto")


def test_a_precision_that_is_asked_for_is_taken_whatever_it_loses(manifest):
    assert choose_artifact(manifest, "encoder", "onnx", "dynamic_range").elbo_difference == -0.9
