"""The page in Chromium: it shows what Python computes, and says in a sentence why it can't."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits.browser import need_chromium, need_package, node, served
from PIL import Image

from cvae_edge import EdgeCVAE, noise
from cvae_edge.bundle import Bundle, write_manifest
from cvae_edge.kits.web import make_web_kit
from cvae_edge.runtime.source import reference_bundle

IMAGES = 4
PAGES = ("blind", "bare", "damaged", "newer", "edited", "wasm", "partial")


def change(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def uploads(folder: Path) -> dict[str, np.ndarray]:
    """Write image files, and return what Python reads of each for the model."""
    rng = np.random.default_rng(3)
    grey = np.kron(rng.integers(0, 2, (7, 7), np.uint8) * np.uint8(255), np.ones((4, 4), np.uint8))
    colour = rng.integers(0, 256, (60, 45, 3), np.uint8)
    clear = np.dstack([colour, np.full((60, 45), 255, np.uint8)])
    clear[:30, :, 3] = 0
    images = {"grey.png": grey, "colour.png": colour, "clear.png": clear}
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    turned = Image.Exif()
    turned[274] = 6  # to be turned by a quarter
    Image.fromarray(colour).save(folder / "turned.png", exif=turned)
    return {str(folder / name): pixels for name, pixels in images.items()} | {
        str(folder / "turned.png"): np.rot90(colour, 3)
    }


def _make_blind(whole: Path, out: Path) -> None:
    """Copy a page without the bundle's encoders."""
    shutil.copytree(whole, out)
    manifest = Bundle.open(whole / "bundle").manifest
    decoders = tuple(a for a in manifest.artifacts if a.role == "decoder")
    write_manifest(out / "bundle", manifest._replace(artifacts=decoders))


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one browser saw of all pages."""
    chromium, package = need_chromium(), need_package("onnxruntime-web")
    folder = tmp_path_factory.mktemp("web")
    bundle = Bundle.open(reference_bundle() or Path())
    whole = make_web_kit(bundle, folder / "whole", package).folder
    make_web_kit(bundle, folder / "bare")
    for name in ("damaged", "newer", "edited", "wasm", "partial"):
        shutil.copytree(whole, folder / name)
    damage(folder / "damaged" / "bundle" / "decoder.onnx")
    manifest = Path("bundle", "manifest.json")
    change(folder / "newer" / manifest, b'"format_version": 2', b'"format_version": 9')
    change(folder / "edited" / manifest, b'"fit": "stretch"', b'"fit": "crop"')
    damage(folder / "wasm" / "onnxruntime-web" / "ort-wasm-simd-threaded.wasm")
    (folder / "partial" / "cvae-edge" / "noise.js").unlink()
    _make_blind(whole, folder / "blind")
    files = list(uploads(folder))
    plan = [
        {"name": "float32", "visit": "compute", "precision": "float32", "n": IMAGES},
        {"name": "int8", "visit": "compute", "precision": "int8", "n": IMAGES},
        {"name": "insecure", "visit": "compute", "precision": "float32", "n": 1},
        {"name": "upload", "visit": "upload", "files": files},
        {"name": "use", "visit": "use"},
        {"name": "offline", "visit": "offline"},
        {"name": "no wasm", "visit": "withoutWebAssembly"},
        *({"name": n, "visit": "look"} for n in PAGES),
    ]
    with ExitStack() as stack:
        for step in plan:
            site = folder / step["name"] if step["visit"] == "look" else whole
            port = stack.enter_context(served(site))
            host = "insecure.test" if step["name"] == "insecure" else "localhost"
            step["url"] = f"http://{host}:{port}/"
        plan.append({"name": "file", "visit": "look", "url": (whole / "index.html").as_uri()})
        (folder / "plan.json").write_text(json.dumps(plan))
        node("visit.js", chromium, folder / "plan.json", folder / "seen.json", timeout=400)
    return {"files": uploads(folder), **json.loads((folder / "seen.json").read_text())}


@pytest.fixture(scope="module")
def model() -> EdgeCVAE:
    return EdgeCVAE.load(reference_bundle(), format="onnx")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_latents_are_pythons_to_the_bit_and_images_within_the_files_tolerance(visits, precision):
    seen = visits[precision]
    model = EdgeCVAE.load(reference_bundle(), precision=precision, format="onnx")
    latents = noise.standard_normal(IMAGES, model.latent_dim)
    np.testing.assert_array_equal(np.float32(seen["latents"]), latents.ravel())
    tolerance = model.manifest.find("decoder", "onnx", precision).tolerance["x_logits"]
    images = model.generate(IMAGES)
    # A sigmoid's slope is at most a quarter.
    np.testing.assert_allclose(seen["images"], images.ravel(), atol=tolerance / 4)
    of_score = 0.01 if precision == "float32" else 0.3
    np.testing.assert_allclose(seen["scores"], model.score(images), atol=of_score)
    assert seen["ready"]
    assert not seen["error"]
    assert not seen["complaints"]


def test_a_page_without_https_works_as_well(visits, model):
    seen = visits["insecure"]
    assert not seen["secure"]
    assert seen["ready"]
    assert not seen["error"]
    np.testing.assert_allclose(seen["images"], model.generate(1).ravel(), atol=1e-4)


def test_uploads_are_scored_as_by_the_command(visits, run_cli):
    for file, told in zip(visits["files"], visits["upload"]["scores"], strict=True):
        result = run_cli("score", file, "-b", reference_bundle(), "--resize", "--json")
        assert result.code == 0, result.err
        (row,) = json.loads(result.out)["images"]
        assert told == pytest.approx(row["elbo_at_mean"], abs=0.01), file


def test_a_file_that_is_no_image_is_named(visits):
    assert visits["upload"]["shown"] == "notes.png is not a readable image"


def test_the_keyboard_is_enough(visits):
    seen = visits["use"]
    assert seen["isReset"]
    assert seen["drawn"]
    assert "start=64" in seen["address"]
    assert not seen["error"]
    assert not seen["complaints"]


def test_the_page_opens_without_a_network_once_it_was_there(visits):
    seen = visits["offline"]
    assert not seen["reached"]
    assert seen["ready"]
    assert not seen["error"]


def test_a_bundle_without_an_encoder_is_shown(visits):
    assert visits["blind"]["ready"]
    assert not visits["blind"]["error"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no wasm", "this browser has no WebAssembly"),
        ("bare", "must hold onnxruntime-web 1.30.0: npm pack onnxruntime-web@1.30.0"),
        ("damaged", "decoder.onnx was changed or damaged"),
        ("edited", "manifest.json was changed or damaged"),
        ("newer", "format_version must be 1 or 2, which this page reads, got 9"),
        ("partial", "A file of this page cannot be read"),
        ("file", "This page must come from a web server"),
        ("wasm", "ort-wasm-simd-threaded.wasm was changed or damaged"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(visits, name, words):
    seen = visits[name]
    assert words in seen["error"]
    assert seen["shown"] == seen["error"]
    assert seen["ready"] is None
