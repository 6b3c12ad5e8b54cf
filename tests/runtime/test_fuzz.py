"""Damaged and hostile bytes: always an error of the package's own, never a crash or a hang.

Over 10,000 cases in all; each test says how many it runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvae_edge import EdgeCVAE
from cvae_edge.errors import CvaeEdgeError, DataError
from cvae_edge.manifest import MANIFEST, digest
from cvae_edge.manifest_json import parse_manifest
from cvae_edge.preprocess import Pixels
from cvae_edge.runtime.inputs import read_images, read_latents

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

FILES = {
    file.name: file.read_bytes() for file in (Path(__file__).parents[1] / "data" / "tiny").iterdir()
}
ODD = [None, True, 0, -1, 2**70, 1e308, "", "../x", "/etc/passwd", "decoder.onnx", "int8", [], {}]
JSON = (
    st.sampled_from([*ODD, *([value] for value in ODD), *({"name": value} for value in ODD)])
    | st.integers()
    | st.text(max_size=20)
    | st.lists(st.integers(-3, 100), max_size=4)
)


def cases(number: int) -> Any:
    return hypothesis.settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=60_000,  # milliseconds, on a busy machine too: none of these may hang
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """``content`` with bytes changed, cut out, put in, or its end cut off."""
    result = bytearray(content)
    position = st.integers(0, len(content) - 1)
    for kind, where, what in draw(
        st.lists(
            st.tuples(st.sampled_from("ccccdi"), position, st.binary(min_size=1, max_size=8)),
            min_size=1,
            max_size=6,
        )
    ):
        if kind == "c":
            result[where : where + 1] = what[:1]
        elif kind == "d":
            del result[where : where + len(what)]
        else:
            result[where:where] = what
    return bytes(result[: draw(position)] if draw(st.integers(0, 9)) == 0 else result)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON document."""
    here = [path] if path else []
    if not isinstance(value, dict | list):
        return here
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return here + [p for key, child in inner for p in paths_of(child, (*path, key))]


def signed(content: bytes) -> bytes:
    """Give a manifest that still is an object a right digest, so that its fields are looked at."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(document, dict):
        return content
    return json.dumps({**document, "digest": digest(document)}).encode()


MANIFEST_PATHS = paths_of(json.loads(FILES[MANIFEST]))


@cases(2500)
@hypothesis.given(
    st.lists(st.tuples(st.sampled_from(MANIFEST_PATHS), JSON), min_size=1, max_size=3)
)
def test_a_manifest_with_any_value_replaced_is_read_or_refused(changes):
    document = json.loads(FILES[MANIFEST])
    for path, value in changes:
        parent = document
        try:
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = value
        except (KeyError, IndexError, TypeError):  # an earlier change took that part away
            continue
    load_or_refuse({**FILES, MANIFEST: signed(json.dumps(document).encode())})


@cases(1500)
@hypothesis.given(damaged(FILES[MANIFEST]))
def test_a_manifest_with_damaged_bytes_is_read_or_refused(content):
    load_or_refuse({**FILES, MANIFEST: content})
    load_or_refuse({**FILES, MANIFEST: signed(content)})


@cases(500)
@hypothesis.given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_manifest_of_anything_is_refused(content):
    with pytest.raises(CvaeEdgeError):
        parse_manifest(content)


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_a_manifest_nested_without_end_is_refused(depth):
    for content in (b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth):
        with pytest.raises(CvaeEdgeError):
            parse_manifest(content)


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_a_model_with_damaged_bytes_is_refused_by_its_hash(name):
    @cases(500)
    @hypothesis.given(damaged(FILES[name]))
    def check(content):
        hypothesis.assume(content != FILES[name])
        with pytest.raises(CvaeEdgeError, match="SHA-256|at most"):
            EdgeCVAE.load({**FILES, name: content})

    check()


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_a_damaged_onnx_file_with_a_right_hash_is_run_or_refused(tiny, name):
    script = Path(__file__).with_name("fuzz_models.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tiny), name, "1000", "7"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # The last line: the oldest releases of onnxruntime print that they try a file once more.
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["cases"] == 1000
    assert 100 < counts["refused"] < 900


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, "decoder.onnx", "encoder.onnx"):
            archive.writestr(name, FILES[name])
    return buffer.getvalue()


@cases(700)
@hypothesis.given(damaged(zipped()))
def test_a_damaged_zip_is_read_or_refused(content):
    load_or_refuse(content)


def load_or_refuse(source: Any) -> None:
    with contextlib.suppress(CvaeEdgeError):
        EdgeCVAE.load(source, threads=1)


def encoded(format: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def saved(save: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 8, 8, 1))
    return buffer.getvalue()


IMAGES = {
    "a.png": encoded("PNG"),
    "a.jpg": encoded("JPEG"),
    "a.bmp": encoded("BMP"),
    "a.webp": encoded("WEBP"),
    "a.npy": saved(np.save),
    "a.npz": saved(np.savez),
    "b.npz": saved(np.savez_compressed),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_damaged_image_or_array_is_read_or_refused(tmp_path, name):
    path = tmp_path / name

    @cases(400)
    @hypothesis.given(damaged(IMAGES[name]) | st.binary(max_size=200))
    def check(content):
        path.write_bytes(content)
        for read in (
            lambda: read_images([str(path)], Pixels((8, 8, 1)), resize=True),
            lambda: read_latents(str(path), 4),
        ):
            with contextlib.suppress(DataError):
                read()

    check()
    assert [p.name for p in tmp_path.iterdir()] == [name]  # nothing was written beside it


def test_the_command_line_shows_no_traceback_for_damaged_input(tmp_path, run_cli):
    output = tmp_path / "out"

    @cases(100)
    @hypothesis.given(
        st.sampled_from(sorted(IMAGES)).flatmap(
            lambda name: st.tuples(st.just(name), damaged(IMAGES[name]))
        ),
        st.sampled_from([MANIFEST, "decoder.onnx", "encoder.onnx"]).flatmap(
            lambda name: st.tuples(st.just(name), st.just(FILES[name]) | damaged(FILES[name]))
        ),
    )
    def check(image, part):
        bundle = tmp_path / "bundle"
        bundle.mkdir(exist_ok=True)
        for name, content in {**FILES, part[0]: part[1]}.items():
            (bundle / name).write_bytes(content)
        path = tmp_path / image[0]
        path.write_bytes(image[1])
        arguments = (path, "--bundle", bundle, "--resize", "--out", output / "r.png")
        result = run_cli("reconstruct", *arguments)
        assert result.code in (0, 2)
        assert "Traceback" not in result.err
        if result.code == 2:
            assert result.err.count("\n") == 1

    check()
    assert {p.name for p in tmp_path.iterdir()} <= {*IMAGES, "bundle", "out"}
