"""A bundle's files in an engine's own process: what is measured, and what is said of a refusal."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from cvae_edge.bundle import Bundle
from cvae_edge.runtime.evaluate import open_codec
from cvae_edge.runtime.verify import read_golden

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
pytestmark = [
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only a checkout has benchmarks"),
    pytest.mark.skipif(not shutil.which("taskset"), reason="engines are put on one core, on Linux"),
]
TINY = ROOT / "tests" / "data" / "tiny"
HERE = (sys.executable, str(BENCHMARKS / "targets_python.py"))


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch):
    """Return what tries the tiny bundle with the worker that a command starts."""
    pytest.importorskip("ai_edge_litert", reason="the driver reads TFLite files with LiteRT")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import targets_trial

    monkeypatch.setattr(targets_trial, "SECONDS", 0.01)
    bundle = Bundle.open(TINY)
    images = read_golden(bundle)["x"]
    return lambda *command: targets_trial.Trial(bundle, images, command)


@pytest.mark.parametrize(
    ("engine", "format"), [("onnxruntime", "onnx"), ("litert", "tflite"), ("openvino", "onnx")]
)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_right_engine_gives_the_golden_outputs_and_the_bundles_elbo(
    trial, engine: str, format: str, precision: str
) -> None:
    pytest.importorskip("openvino" if engine == "openvino" else "onnxruntime")
    run, bundle = trial(*HERE, engine), Bundle.open(TINY)
    found = run(format, precision)
    for role in ("encoder", "decoder"):
        artifact = bundle.manifest.find(role, format, precision)
        assert found[role]["right"], found
        assert found[role]["differences"].keys() == artifact.tolerance.keys()
        assert found[role]["bytes"] == artifact.size_bytes
        assert found[role]["milliseconds"] > 0
    wanted = run.elbo(open_codec(bundle, format, precision, precision))
    assert found["elbo"] == pytest.approx(wanted, abs=1e-3)


def test_c_compiled_here_is_right(trial) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("C needs gcc")
    found = trial(*HERE, "c")("tflite", "int8")
    assert found["encoder"]["right"]
    assert found["decoder"]["right"]


def test_an_engine_that_errs_is_not_right(trial, tmp_path: Path) -> None:
    """As one that takes mean for logvar."""
    swapped = tmp_path / "swapped.py"
    swapped.write_text(
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "import targets_python as worker\n"
        "right = worker.ENGINES['onnxruntime']\n"
        "swap = {'mean': 'logvar', 'logvar': 'mean'}\n"
        "worker.ENGINES['onnxruntime'] = lambda job: (\n"
        "    lambda x, run=right(job): {swap.get(n, n): y for n, y in run(x).items()}\n"
        ")\n"
        "worker.main()\n"
    )
    found = trial(sys.executable, str(swapped), "onnxruntime")("onnx", "float32")
    assert not found["encoder"]["right"]
    assert found["decoder"]["right"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('no such operator')", "exit status 1: no such operator"),
        ("import time; time.sleep(30)", "it is not done after 0.5 s"),
        ('print(\'{"error": "it takes no float"}\')', "it takes no float"),
    ],
)
def test_a_refusal_is_told_in_the_engines_own_words(
    trial, code: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import targets_trial

    run = trial(sys.executable, "-c", code)
    monkeypatch.setattr(targets_trial, "LIMIT", 0.5 if "sleep" in code else 60.0)
    assert run("onnx", "float32") == {
        "encoder": {"refused": reason},
        "decoder": {"refused": reason},
    }


def test_engines_count_that_run_both_precisions_of_one_format(trial) -> None:
    from targets_report import counted

    half = {"differences": {"z": 1e-6}, "right": True, "bytes": 1, "milliseconds": 1.0}
    right = {"encoder": half, "decoder": half, "elbo": -1.0}
    wrong = {**right, "decoder": {**half, "right": False}}
    refused = {"encoder": half, "decoder": {"refused": "no"}}
    engines = {
        "both": {"formats": {"onnx": {"float32": right, "int8": right}}},
        "wrong": {"formats": {"onnx": {"float32": right, "int8": wrong}}},
        "refused": {"formats": {"onnx": {"float32": right, "int8": refused}}},
        "integers": {"formats": {"tflite": {"int8": right}}},
        "mixed": {
            "formats": {
                "onnx": {"float32": right, "int8": wrong},
                "tflite": {"float32": wrong, "int8": right},
            }
        },
    }
    assert counted({"engines": engines}) == ["both"]
