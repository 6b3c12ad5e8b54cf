"""Which configurations a request means, and what is refused before anything is measured."""

from __future__ import annotations

import pytest

from cvae_edge.benchmark import plan
from cvae_edge.benchmark.plan import Request, make_plan
from cvae_edge.errors import (
    BenchmarkError,
    BenchmarkWarning,
    BundleError,
    ConfigError,
    DependencyError,
)


@pytest.fixture
def litert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "load_engine", lambda format, provider: None)


def without(bundle, *roles):
    artifacts = tuple(a for a in bundle.manifest.artifacts if a.role not in roles)
    return bundle.manifest._replace(artifacts=artifacts)


@pytest.mark.usefixtures("litert")
def test_every_file_is_measured_with_every_batch_and_number_of_threads(tiny, monkeypatch):
    monkeypatch.setattr(plan, "available_cores", lambda: 2)
    planned = make_plan(tiny.manifest, Request(batches=(16, 1), threads=(1, 2)))
    files = {a.file for a in tiny.manifest.artifacts if a.role == "decoder"}
    seen = [(c.name, c.batch, c.threads) for c in planned.configurations]
    assert len(seen) == len(set(seen)) == 8 * 2 * 2
    assert {name for name, _, _ in seen} == files
    assert [c.batch for c in planned.configurations] == [16] * 16 + [1] * 16
    assert planned.skipped == {}


@pytest.mark.usefixtures("litert")
def test_reconstruct_takes_a_fused_file_and_else_a_pair(tiny):
    decoder = tiny.manifest.find("decoder", "onnx")
    fused = decoder._replace(file="reconstruct.onnx", role="reconstruct")
    manifest = tiny.manifest._replace(artifacts=(*tiny.manifest.artifacts, fused))
    names = {c.name for c in make_plan(manifest, Request("reconstruct", (1,))).configurations}
    assert len(names) == 8
    assert "reconstruct.onnx" in names
    assert "encoder.onnx + decoder.onnx" not in names
    assert "encoder.int8.tflite + decoder.int8.tflite" in names


@pytest.mark.usefixtures("litert")
def test_a_decoder_whose_encoder_was_left_out_is_measured_alone(tiny):
    manifest = without(tiny, "encoder")
    assert len(make_plan(manifest, Request(batches=(1,))).configurations) == 8
    assert len(make_plan(manifest, Request("generate", (1,))).configurations) == 8
    for role in ("encoder", "reconstruct"):
        with pytest.raises(BundleError, match=f"must have files for {role} to measure it, got dec"):
            make_plan(manifest, Request(role))


@pytest.mark.usefixtures("litert")
def test_tflite_files_are_skipped_by_name_where_only_a_gpu_is_asked_for(tiny, monkeypatch):
    planned = make_plan(tiny.manifest, Request(providers=("cuda",), batches=(1,)))
    assert {c.format for c in planned.configurations} == {"onnx"}
    assert planned.skipped["decoder.tflite"] == "LiteRT runs on the provider cpu alone"
    both = make_plan(tiny.manifest, Request(providers=("cpu", "cuda"), batches=(1,)))
    assert len(both.configurations) == 4 * 2 + 4


def test_files_whose_runtime_is_not_installed_are_skipped_with_the_way_to_get_it(tiny, monkeypatch):
    real = plan.load_engine

    def load_engine(format, provider):
        if format == "tflite":
            raise DependencyError("pip install 'cvae-edge[litert]'")
        return real(format, provider)

    monkeypatch.setattr(plan, "load_engine", load_engine)
    planned = make_plan(tiny.manifest, Request(batches=(1,)))
    assert {c.format for c in planned.configurations} == {"onnx"}
    assert "cvae-edge[litert]" in planned.skipped["decoder.int8.tflite"]
    tflite = tuple(a for a in tiny.manifest.artifacts if a.format == "tflite")
    with pytest.raises(BenchmarkError, match=r"nothing can be measured: pip install"):
        make_plan(tiny.manifest._replace(artifacts=tflite), Request())


def test_a_provider_that_is_not_here_names_the_way_to_get_it(tiny):
    with pytest.raises(ConfigError, match=r"got 'cuda'; pip install onnxruntime-gpu"):
        make_plan(tiny.manifest, Request(providers=("cpu", "cuda")))
    with pytest.raises(ConfigError, match=r"provider must be one of cpu, .*, got 'gpu'"):
        make_plan(tiny.manifest, Request(providers=("gpu",)))


def test_more_threads_than_cores_are_warned_of(tiny):
    with pytest.warns(BenchmarkWarning, match=r"^4000 threads were asked for and this machine has"):
        assert make_plan(tiny.manifest, Request(threads=(1, 4000))).configurations


def test_a_batch_that_does_not_fit_into_memory_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"batch 10000000000 must fit into memory"):
        make_plan(tiny.manifest, Request(batches=(1, 10**10)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"role": "both"}, "role must be one of .*, got 'both'"),
        ({"batches": (1, 0)}, "batch must be at least 1, got 0"),
        ({"threads": (0,)}, "threads must be at least 1, got 0"),
        ({"threads": ()}, "threads must name at least one"),
        ({"min_seconds": 0.0}, "min-seconds must be above 0, got 0"),
        ({"min_seconds": -1.0}, "min-seconds must be above 0, got -1"),
        ({"min_seconds": float("nan")}, "min-seconds must be above 0, got nan"),
        ({"min_seconds": float("inf")}, "min-seconds must be above 0, got inf"),
    ],
)
def test_values_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Request(**wrong)


@pytest.mark.usefixtures("litert")
@pytest.mark.parametrize("role", plan.ROLES)
def test_files_of_a_role_that_nobody_here_knows_are_left_out(tiny, role):
    later = tiny.manifest.find("decoder", "onnx")._replace(file="upscaler.onnx", role="upscaler")
    manifest = tiny.manifest._replace(artifacts=(*tiny.manifest.artifacts, later))
    request = Request(role, (1,))
    assert make_plan(manifest, request) == make_plan(tiny.manifest, request)
