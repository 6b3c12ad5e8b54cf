from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cvae_edge.bundle import Bundle, sha256_of
from cvae_edge.errors import BundleError
from cvae_edge.manifest import digest
from cvae_edge.runtime import engines
from cvae_edge.runtime.verify import largest_difference, verify_bundle

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(TINY, tmp_path / "tiny")
    return tmp_path / "tiny"


def change_golden(folder: Path, change) -> None:
    with np.load(folder / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    np.savez(folder / "golden.npz", **arrays)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["golden.npz"] = sha256_of(folder / "golden.npz")
    sign(folder, manifest)


def sign(folder: Path, manifest: dict) -> None:
    manifest["digest"] = digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def onnx_checks(folder: Path):
    return {c.file: c for c in verify_bundle(Bundle.open(folder)) if c.file.endswith("onnx")}


def test_a_bundle_is_right_where_it_was_made(folder: Path) -> None:
    assert all(check.ok for check in onnx_checks(folder).values())


def test_other_values_fail_by_file_and_output(folder: Path) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["decoder.onnx/x_logits"][0] += 0.5

    change_golden(folder, change)
    checks = onnx_checks(folder)
    assert checks["decoder.onnx"].status == "failed"
    assert "x_logits differs by 0.5" in checks["decoder.onnx"].message
    assert checks["encoder.onnx"].ok


def test_hashes_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("a file was opened before all were hashed")

    monkeypatch.setattr("cvae_edge.runtime.verify.open_session", never)
    with (folder / "samples.png").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=r"samples.png was changed or damaged"):
        verify_bundle(Bundle.open(folder))


def test_a_missing_golden_output_is_named(folder: Path) -> None:
    change_golden(folder, lambda arrays: arrays.pop("encoder.onnx/mean"))
    with pytest.raises(BundleError, match="encoder.onnx cannot be verified: .* encoder.onnx/mean"):
        verify_bundle(Bundle.open(folder))


def test_a_golden_file_that_needs_pickle_is_refused(folder: Path) -> None:
    change_golden(folder, lambda arrays: arrays.update(x=np.array([{}], object)))
    with pytest.raises(BundleError, match="golden.npz is damaged"):
        verify_bundle(Bundle.open(folder))


def test_without_litert_tflite_files_are_skipped_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engines.is_installed
    monkeypatch.setattr(engines, "is_installed", lambda e: e.name != "LiteRT" and real(e))
    checks = {c.file: c for c in verify_bundle(Bundle.open(folder))}
    assert checks["decoder.tflite"].status == "skipped"
    assert not checks["decoder.tflite"].ok
    assert "cvae-edge[litert]" in checks["decoder.tflite"].message
    assert checks["decoder.onnx"].ok


def test_nan_and_other_shapes_are_infinitely_far() -> None:
    ones = np.ones((2, 3), np.float32)
    assert largest_difference(ones, ones + np.float32(0.25)) == 0.25
    assert largest_difference(ones * np.nan, ones) == np.inf
    assert largest_difference(ones[:1], ones) == np.inf


def test_checks_can_be_printed_as_json(folder: Path) -> None:
    buffer = io.StringIO()
    json.dump([dataclasses.asdict(c) for c in onnx_checks(folder).values()], buffer)
    assert "encoder.onnx" in buffer.getvalue()


def test_without_golden_outputs_it_says_what_it_could_not_check(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["golden.npz"]
    sign(folder, manifest)
    (folder / "golden.npz").unlink()
    checks = onnx_checks(folder)
    assert {check.status for check in checks.values()} == {"skipped"}
    assert all("no golden.npz, so its outputs cannot" in c.message for c in checks.values())


def test_a_file_of_an_unknown_format_is_skipped_by_name(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"][0]["format"] = "coreml"
    sign(folder, manifest)
    first, second = verify_bundle(Bundle.open(folder))[:2]
    assert first.status == "skipped"
    assert "got 'coreml': install a newer one" in first.message
    assert second.ok


def test_images_that_depend_on_their_batch_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engines.open_session

    def depending(*arguments: object) -> object:
        session = real(*arguments)

        def run(**inputs: np.ndarray) -> dict[str, np.ndarray]:
            n = len(next(iter(inputs.values())))
            return {k: v + (0.6 if n == 3 else 0) for k, v in session(**inputs).items()}

        return run

    monkeypatch.setattr("cvae_edge.runtime.verify.open_session", depending)
    assert onnx_checks(folder)["decoder.onnx"].status == "failed"


def test_the_reference_bundle_of_version_1_gives_what_it_gave(run_cli) -> None:
    version_1 = Path(__file__).parents[1] / "data" / "v1"
    checks = verify_bundle(Bundle.open(version_1))
    assert {check.status for check in checks} <= {"ok", "skipped"}
    assert sum(check.ok for check in checks) >= 4
    result = run_cli("inspect", version_1)
    assert result.code == 0
    assert "bernoulli" in result.out
