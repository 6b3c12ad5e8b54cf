from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema

from cvae_edge.bundle import Bundle
from cvae_edge.codec import Codec
from cvae_edge.elbo import evaluate
from cvae_edge.errors import BundleError, ConfigError, ParityError, RunError, RunWarning
from cvae_edge.exporters import card
from cvae_edge.exporters import export as export_module
from cvae_edge.exporters.export import export_bundle
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.quantize import mark, marked
from cvae_edge.exporters.settings import Kind, Settings
from cvae_edge.exporters.subject import Subject, load_subject
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.runtime.engines import open_session
from cvae_edge.runtime.verify import verify_bundle
from cvae_edge.training.run import Run

PRECISIONS = ("float32", "float16", "dynamic_range", "int8")
KINDS = Settings(precisions=PRECISIONS).kinds(("encoder", "decoder", "reconstruct"))
ONNX_FILES = [k.file for k in KINDS if k.format == "onnx"]
C_FILE = "cvae_model.c"
TFLITE_FILES = [k.file for k in KINDS if k.format == "tflite"]


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def artifact(bundle: Bundle, file: str):
    return next(a for a in bundle.manifest.artifacts if a.file == file)


def test_every_format_and_precision_is_there_and_verifies(bundle: Bundle) -> None:
    assert {a.file for a in bundle.manifest.artifacts} == {*ONNX_FILES, *TFLITE_FILES, C_FILE}
    assert not bundle.manifest.report["failures"]
    left = [(c.file, c.status) for c in verify_bundle(bundle) if not c.ok]
    assert left == [(C_FILE, "skipped")]  # a compiler's work


def test_float32_is_the_trained_model(bundle: Bundle) -> None:
    for a in bundle.manifest.artifacts:
        if a.precision == "float32":
            assert max(a.difference.values()) <= 1e-4
            assert a.elbo_difference is None or abs(a.elbo_difference) < 1e-3


def test_the_manifests_elbo_is_what_the_files_give(bundle: Bundle, tiny_run: Path) -> None:
    subject = load_subject(Run.open(tiny_run))
    manifest = bundle.manifest
    for pair in manifest.report["pairs"]:
        graphs = [
            open_session(a, bundle.read(a))
            for a in (
                manifest.find("encoder", pair["format"], pair["encoder"]),
                manifest.find("decoder", pair["format"], pair["decoder"]),
            )
        ]
        images = subject.dataset.test.images[: manifest.report["images"]]
        got = evaluate(Codec(*graphs), images, "threshold", subject.likelihood).elbo
        assert got == pytest.approx(pair["elbo"], abs=1e-3)
        trained = evaluate(subject.trained, images, "threshold", subject.likelihood).elbo
        assert pair["elbo_difference"] == pytest.approx(got - trained, abs=1e-3)
    assert len(manifest.report["pairs"]) == 2 * len(PRECISIONS) ** 2


def test_the_card_and_inspect_say_what_tuning_gave(
    bundle: Bundle, tiny_bundle: Path, run_cli: Callable[..., Any]
) -> None:
    report = bundle.manifest.report
    assert [(e["format"], e["precision"], e["epochs"]) for e in report["tuning"]] == [
        ("onnx", "int8", 1.0),
        ("tflite", "int8", 1.0),
    ]
    assert report["trained_on_elbo"] > report["trained_elbo"]  # two epochs are few
    for pair in report["pairs"]:
        wanted = pair["elbo"] - report["trained_on_elbo"]
        assert pair["trained_on_difference"] == pytest.approx(wanted)
    card, printed = bundle.read("README.md").decode(), run_cli("inspect", tiny_bundle).out
    for entry, note in zip(report["tuning"], report["notes"], strict=True):
        assert entry["tuned"]
        assert f"- {note}" in card
        assert f"Note: {note}" in printed
        assert f"The int8 networks of {entry['format']} were trained on for 1 epochs" in note
        (pair,) = (
            p
            for p in report["pairs"]
            if (p["format"], p["encoder"], p["decoder"]) == (entry["format"], "int8", "int8")
        )
        assert f"{pair['elbo_difference']:+.3f} nats beside the trained model's" in note
        assert f"{pair['trained_on_difference']:+.3f} beside that of a float32 model" in note


def test_a_pair_that_was_not_tuned_is_named() -> None:
    entry = {"format": "onnx", "precision": "int8", "tuned": False, "why": "there was no time"}
    (note,) = card.tuning_notes([entry], [])
    assert note == ("The int8 networks of onnx are as they were before tuning: there was no time.")


@pytest.mark.parametrize("file", ONNX_FILES)
def test_onnx_graphs_are_clean(bundle: Bundle, file: str) -> None:
    model = onnx.load_from_string(bundle.read(artifact(bundle, file)))
    onnx.checker.check_model(model, full_check=True)
    operators = Counter(node.op_type for node in model.graph.node)
    assert not {"Shape", "Gather", "Identity", "Squeeze"} & set(operators)
    assert operators["Slice"] <= operators["ConvTranspose"]  # whose sides it makes equal
    # Each polyphase layer joins pixels, and then rows, as runs of channels; hybrid joins phases.
    # Elsewhere floats are not moved: one channel is moved by a Reshape.
    layers = 2  # that enlarge
    lowering = artifact(bundle, file).lowering
    joins = {"polyphase": 3 * layers, "hybrid": 1}.get(lowering or "", 0)
    assert operators["Concat"] == joins
    if ".int8." not in file:
        assert operators["Transpose"] == (joins if lowering == "polyphase" else 0)
    assert operators["Cast"] == 0 or len(file.split(".")) == 3
    for tensor in (*model.graph.input, *model.graph.output):
        assert tensor.type.tensor_type.shape.dim[0].dim_param == "n"
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["role"] == file.split(".")[0]
    assert facts["image_shape"] == "12x16x1"


@pytest.mark.parametrize("file", TFLITE_FILES)
def test_tflite_files_have_built_in_operators_only(bundle: Bundle, file: str) -> None:
    model = schema.ModelT.InitFromPackedBuf(bundle.read(artifact(bundle, file)), 0)
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    assert schema.BuiltinOperator.CUSTOM not in codes
    assert schema.BuiltinOperator.SHAPE not in codes


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_int8_is_really_int8(bundle: Bundle, role: str, format: str) -> None:
    report = bundle.manifest.find(role, format, "int8").report
    floats = set(report["operators"]["float"])
    assert floats <= ({"Gemm", "Relu"} if format == "onnx" else set())  # the dense layers'
    assert report["operators"]["integer_share"] >= 0.5
    float32 = bundle.manifest.find(role, format).report
    assert float32["operators"]["integer_share"] == 0.0


def test_onnxruntime_computes_int8_encoders_in_integers_and_moves_nothing(
    bundle: Bundle, tmp_path: Path
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    content = bundle.read(bundle.manifest.find("encoder", "onnx", "int8"))
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    names = [node.op_type for node in graph.node]
    assert sorted(names) == [
        "QGemm",
        "QGemm",
        "QLinearConv",
        "QLinearConv",
        "QuantizeLinear",
        "Reshape",
    ]
    kernels = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "QGemm"]:
        assert kernels[node.input[3]].dtype == np.uint8  # u8 by u8 is added up in 32 bits


def test_int8_onnx_convolutions_cannot_saturate(bundle: Bundle) -> None:
    for role in ("encoder", "decoder"):
        content = bundle.read(bundle.manifest.find(role, "onnx", "int8"))
        graph = onnx.load_from_string(content).graph
        kernels = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        makers = {name: node for node in graph.node for name in node.output}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        assert convolutions
        for node in convolutions:  # two products of a u8 and a kernel's value fit in 16 bits
            kernel = kernels[makers[node.input[1]].input[0]]
            assert kernel.dtype == np.int8
            assert 2 * 255 * np.abs(kernel.astype(int)).max() <= 2**15 - 1


def test_dynamic_range_onnx_kernels_are_stored_in_8_bits(bundle: Bundle) -> None:
    for role in ("encoder", "decoder"):
        content = bundle.read(bundle.manifest.find(role, "onnx", "dynamic_range"))
        graph = onnx.load_from_string(content).graph
        kernels = [t for t in graph.initializer if len(t.dims) in (2, 4) and min(t.dims[:2]) > 1]
        assert {t.data_type for t in kernels} == {onnx.TensorProto.INT8}


def test_int8_inputs_and_outputs_when_asked(tiny_run: Path) -> None:
    network = load_subject(Run.open(tiny_run)).networks["decoder"]
    target = TARGETS["tflite"]
    ranges = dict.fromkeys(marked(network, target.schemes["int8"]), (-4.0, 4.0))
    network = lower(mark(network, ranges)[0], "polyphase")
    for dtype in ("int8", "float32"):
        file = target.emit(network, "int8", io=dtype)
        tensors = (*file.inputs, *file.outputs)
        assert [(t.name, t.dtype) for t in tensors] == [("z", dtype), ("x_logits", dtype)]
    assert target.emit(network, "int8", io="int8").outputs[0].scale == pytest.approx(
        8 / 255, rel=0.01
    )


def test_the_fastest_lowering_is_found_by_timing(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def times(calls):
        seen.append(sorted(calls))
        return {name: float(name != "subpixel") for name in calls}

    monkeypatch.setattr("cvae_edge.exporters.build.median_microseconds", times)
    result = export_bundle(
        tiny_run, tmp_path / "out", ["tflite"], held_out=10, lowering="measured", fused=False,
        compare=True,
    )  # fmt: skip
    assert seen == [["hybrid", "phases", "polyphase", "subpixel", "transposed"]]
    decoder = result.manifest.find("decoder", "tflite")
    assert decoder.lowering == "subpixel"
    assert decoder.report["naive_latency_us"] > 0
    assert "| tools' own |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("loss", [0.6, float("nan")])
def test_a_file_that_loses_too_much_is_left_out_by_name(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    measure = export_module.check_and_measure

    def lossy(exported, *rest):
        measured = measure(exported, *rest)
        if exported.artifact.file != "decoder.dynamic_range.onnx":
            return measured
        return replace(measured, artifact=measured.artifact._replace(elbo_difference=-loss))

    monkeypatch.setattr(export_module, "check_and_measure", lossy)
    out = tmp_path / "out"
    result = export_bundle(
        tiny_run, out, ["onnx"], ["dynamic_range"], max_elbo_drop=0.5, held_out=50, fused=False
    )
    assert list(result.failures) == ["decoder.dynamic_range.onnx"]
    why = result.failures["decoder.dynamic_range.onnx"]
    assert "must not lose more than 0.5 nats (--max-elbo-drop)" in why
    files = {a.file for a in result.manifest.artifacts}
    assert files == {"encoder.onnx", "decoder.onnx", "encoder.dynamic_range.onnx"}
    assert not (out / "decoder.dynamic_range.onnx").exists()
    card = (out / "README.md").read_text()
    assert why in card
    assert "tools' own" not in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ["coreml"]}, "formats must be some of onnx, tflite.*, got coreml"),
        ({"precisions": ["int2"]}, "precisions must be some of .*, got int2"),
        (
            {"lowering": "fast"},
            "lowering must be one of auto, measured, transposed, subpixel, phases, polyphase, "
            "hybrid",
        ),
        ({"io": "int4"}, "io must be float32 or int8, got int4"),
        ({"calibration_samples": 0}, "calibration_samples must be at least 1, got 0"),
        ({"tune_epochs": -1.0}, "tune_epochs must be 0 to 1000, got -1.0"),
        ({"held_out": 0}, "held_out must be at least 1, got 0"),
        ({"opset": 9}, "opset must be 13 to 18, got 9"),
    ],
)
def test_bad_options_are_refused(
    tiny_run: Path, tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        export_bundle(tiny_run, tmp_path / "out", **{"formats": ["onnx"], **options})
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_exported_with_a_warning(tiny_run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    shutil.copytree(tiny_run, unfinished)
    (unfinished / "summary.json").unlink()
    with pytest.warns(RunWarning, match="unfinished"):
        result = export_bundle(unfinished, tmp_path / "out", ["onnx"], held_out=10)
    assert Bundle.open(tmp_path / "out").manifest == result.manifest


def test_weights_that_are_nan_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "run"
    shutil.copytree(tiny_run, broken)
    with np.load(broken / "best.weights.npz") as archive:
        weights = {name: archive[name] for name in archive.files}
    weights["decoder/conv_1/kernel"][0] = np.nan
    np.savez(broken / "best.weights.npz", **weights)
    with pytest.raises(RunError, match="weights must be finite"):
        export_bundle(broken, tmp_path / "out")


def test_a_folder_that_is_no_bundle_is_not_touched(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="is no bundle"):
        export_bundle(tiny_run, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_an_export_that_stops_half_way_leaves_the_old_bundle_whole(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_bundle, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(tiny_run, out, ["onnx"], held_out=10)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


WAITS = """
import time
from cvae_edge.cli import main
from cvae_edge.exporters import export
def wait(folder, manifest):
    print("all but the manifest is written", flush=True)
    time.sleep(600)
export.write_manifest = wait
main()
"""


def test_an_export_killed_as_it_writes_leaves_the_old_bundle_whole(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_bundle, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    command = ["export", tiny_run, "--format", "onnx", "--quantize", "none", "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, *map(str, command)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "all but the manifest is written\n"
    process.kill()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    export_bundle(tiny_run, out, ["onnx"], held_out=10)  # and the next export is not in its way
    assert Bundle.open(out).manifest.artifacts != Bundle.open(tiny_bundle).manifest.artifacts
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_float32_file_that_is_not_the_model_stops_the_export(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(run: Run, data: str | None) -> Subject:
        subject = load_subject(run, data)
        for layer in subject.networks["encoder"].layers:
            layer.set_weights([1.01 * weight for weight in layer.get_weights()])
        return subject

    monkeypatch.setattr(export_module, "load_subject", wrong)
    with pytest.raises(ParityError, match="within 0.0001 of the trained model's"):
        export_bundle(tiny_run, tmp_path / "out", ["onnx"], held_out=10)
    assert not (tmp_path / "out").exists()


def test_no_image_depends_on_its_batch_in_any_file(bundle: Bundle) -> None:
    with np.load(io.BytesIO(bundle.read("golden.npz"))) as golden:
        inputs = {name: golden[name] for name in ("x", "z", "eps")}
    for a in (a for a in bundle.manifest.artifacts if a.format != "c"):
        session = open_session(a, bundle.read(a))
        values = {t.name: inputs[t.name] for t in a.inputs}
        whole = session(**values)
        for i in (0, 5):
            alone = session(**{name: v[i : i + 1] for name, v in values.items()})
            beside = {name: np.concatenate([v[i : i + 1], 3 * v[:2]]) for name, v in values.items()}
            others = session(**beside)
            for name, value in whole.items():
                limit = a.tolerance[name] if a.format == "tflite" else 1e-4
                assert np.abs(alone[name][0] - value[i]).max() <= limit, a.file
                assert np.abs(others[name][0] - value[i]).max() <= limit, a.file


def test_files_are_named_after_role_precision_and_format() -> None:
    assert Kind("decoder", "tflite", "float32").file == "decoder.tflite"
    assert Kind("encoder", "onnx", "int8").file == "encoder.int8.onnx"
