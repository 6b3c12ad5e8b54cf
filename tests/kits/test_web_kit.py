"""``cvae-edge kit web``: what it makes, and what it refuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.bundle import Bundle, write_manifest
from cvae_edge.kits import onnxruntime_web
from cvae_edge.kits.folder import sources
from cvae_edge.kits.onnxruntime_web import Pinned
from cvae_edge.runtime.monitoring import fit_bundle

TINY = Path(__file__).parents[1] / "data" / "tiny"
CONTENT = b"export const here = true;"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm package of one small file, pinned in place of onnxruntime-web's."""
    file = {"from": "dist/ort.mjs", "sha256": hashlib.sha256(CONTENT).hexdigest()}
    monkeypatch.setattr(onnxruntime_web, "pinned", lambda: Pinned("9.9.9", {"ort.js": file}))
    folder = tmp_path / "node_modules" / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "ort.mjs").write_bytes(CONTENT)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "bundle"))


def keep(bundle: Path, *, of: str) -> None:
    """Leave a bundle the artifacts of one format or role."""
    manifest = Bundle.open(bundle).manifest
    kept = tuple(a for a in manifest.artifacts if of in (a.format, a.role))
    write_manifest(bundle, manifest._replace(artifacts=kept))


def test_the_folder_holds_the_page_and_a_bundle_that_python_runs(run_cli, tmp_path, package):
    out = tmp_path / "kit"
    result = run_cli("kit", "web", TINY, "--out", out, "--onnxruntime-web", package, "--json")
    made = json.loads(result.out)
    assert (result.code, made["complete"], made["folder"]) == (0, True, str(out))
    assert (out / "onnxruntime-web" / "ort.js").read_bytes() == CONTENT
    assert sorted(made["files"]) == sorted(p.name for p in (out / "bundle").glob("*.onnx"))
    page = {str(p.relative_to(sources("web"))) for p in sources("web").rglob("*") if p.is_file()}
    there = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert page <= there
    assert made["size_bytes"] == sum((out / name).stat().st_size for name in there - {"kit.json"})
    expected = EdgeCVAE.load(TINY, format="onnx").generate(3)
    assert (EdgeCVAE.load(out / "bundle").generate(3) == expected).all()


def test_nothing_in_the_page_comes_from_elsewhere_and_every_file_is_named(run_cli, tmp_path):
    run_cli("kit", "web", TINY, "--out", tmp_path / "kit")
    page = (tmp_path / "kit" / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    for name in named:
        if not name.startswith("data:") and not name.startswith("bundle/"):
            assert (tmp_path / "kit" / name).is_file(), name
    modules = {f"cvae-edge/{p.name}" for p in sources("web").glob("cvae-edge/*.js")}
    lazy = {f"cvae-edge/{name}.js" for name in ("errors", "photos", "resample", "rounding")}
    assert modules - lazy == {name for name in named if name.startswith("cvae-edge/")} & modules
    readme = (tmp_path / "kit" / "README.md").read_text()
    assert "# tiny, in a browser" in readme
    assert "$" not in readme


def test_without_onnxruntime_web_the_command_says_how_it_is_had(run_cli, tmp_path, package):
    result = run_cli("kit", "web", TINY, "--out", tmp_path / "kit")
    assert result.code == 0
    assert "npm pack onnxruntime-web@9.9.9" in result.out
    assert not (tmp_path / "kit" / "onnxruntime-web").exists()


@pytest.mark.parametrize("form", ["package", "parent", "project", "unpacked", "tgz"])
def test_onnxruntime_web_is_taken_in_any_form_that_npm_gives(run_cli, tmp_path, package, form):
    archive = tmp_path / "onnxruntime-web-9.9.9.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("package/dist/ort.mjs")
        member.size = len(CONTENT)
        tar.addfile(member, io.BytesIO(CONTENT))
    unpacked = tmp_path / "unpacked"
    shutil.copytree(package, unpacked / "package")
    forms = {"package": package, "parent": package.parent, "project": tmp_path}
    source = {**forms, "unpacked": unpacked, "tgz": archive}[form]
    result = run_cli("kit", "web", TINY, "--out", tmp_path / "kit", "--onnxruntime-web", source)
    assert result.code == 0, result.err
    assert (tmp_path / "kit" / "onnxruntime-web" / "ort.js").read_bytes() == CONTENT


@pytest.mark.parametrize("form", ["changed", "empty", "nothing", "no archive", "other archive"])
def test_another_onnxruntime_web_is_refused_in_one_sentence(run_cli, tmp_path, package, form):
    (package / "dist" / "ort.mjs").write_bytes(b"changed")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tgz").write_text("no archive")
    with tarfile.open(tmp_path / "other.tgz", "w:gz"):
        pass
    source, words = {
        "changed": (package, "whose dist/ort.mjs is not that of 9.9.9"),
        "empty": (tmp_path / "empty", "which has no readable dist/ort.mjs"),
        "nothing": (tmp_path / "nothing", "which has no readable dist/ort.mjs"),
        "no archive": (tmp_path / "text.tgz", "which has no readable dist/ort.mjs"),
        "other archive": (tmp_path / "other.tgz", "which has no readable dist/ort.mjs"),
    }[form]
    out = tmp_path / "kit"
    result = run_cli("kit", "web", TINY, "--out", out, "--onnxruntime-web", source)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert words in result.err
    assert not out.exists()


def test_a_kit_is_replaced_and_another_folder_is_not(run_cli, tmp_path):
    out = tmp_path / "kit"
    assert run_cli("kit", "web", TINY, "--out", out).code == 0
    (out / "old").touch()
    assert run_cli("kit", "web", TINY, "--out", out).code == 0
    assert not (out / "old").exists()
    (out / "kit.json").write_text('{"kit": "microcontroller"}')
    result = run_cli("kit", "web", TINY, "--out", out)
    assert result.code == 2
    assert "exists and is no web kit: choose another --out" in result.err
    file = tmp_path / "file"
    file.touch()
    for taken in (file, TINY):
        assert run_cli("kit", "web", TINY, "--out", taken).code == 2
    assert (TINY / "manifest.json").exists()


def test_a_bundle_without_an_encoder_is_shown_one_without_onnx_refused(run_cli, tmp_path, bundle):
    keep(bundle, of="decoder")
    assert run_cli("kit", "web", bundle, "--out", tmp_path / "kit").code == 0
    keep(bundle, of="tflite")
    result = run_cli("kit", "web", bundle, "--out", tmp_path / "other")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "a web kit needs an ONNX decoder, and tiny has: decoder.tflite" in result.err
    assert not (tmp_path / "other").exists()


def test_a_bundle_that_is_not_there_or_was_changed_is_refused(run_cli, tmp_path, bundle):
    result = run_cli("kit", "web", tmp_path / "nothing", "--out", tmp_path / "kit")
    assert result.code == 2
    assert "is no bundle" in result.err
    (bundle / "decoder.onnx").write_bytes(b"changed")
    result = run_cli("kit", "web", bundle, "--out", tmp_path / "kit")
    assert result.code == 2
    assert "decoder.onnx was changed or damaged" in result.err
    assert not (tmp_path / "kit").exists()


def test_a_bundle_with_a_monitor_is_shown_without_it(run_cli, tmp_path, bundle):
    good = (EdgeCVAE.load(bundle).generate(80) > 0.5).astype(np.uint8) * np.uint8(255)
    fit_bundle(bundle, good, method="kl", false_alarms=0.05, precisions=["float32"])
    assert run_cli("kit", "web", bundle, "--out", tmp_path / "kit").code == 0
    shown = EdgeCVAE.load(tmp_path / "kit" / "bundle")
    assert shown.manifest.monitor is None
    np.testing.assert_array_equal(shown.generate(2), EdgeCVAE.load(bundle).generate(2))


@pytest.mark.parametrize("page", ["README.md", "own_images.ipynb"])
def test_the_pages_name_the_version_that_is_pinned(page):
    path = Path(__file__).parents[2] / "export" / page
    if not path.is_file():
        pytest.skip("only a checkout has the pages")
    assert f"onnxruntime-web@{onnxruntime_web.pinned().version}" in path.read_text()
