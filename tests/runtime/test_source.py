"""Where a bundle may come from, and what is refused on the way."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.errors import BundleError
from cvae_edge.manifest import MANIFEST, digest
from cvae_edge.runtime import source
from cvae_edge.runtime.source import default_bundle, open_bundle


def make_zip(tiny: Path, prefix: str = "", compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for file in sorted(tiny.iterdir()):
            archive.write(file, prefix + file.name)
    return buffer.getvalue()


def zip_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_folder_zip_and_bytes_are_one_model(tiny, model, tmp_path):
    expected = model.generate(3, seed=4)
    path = tmp_path / "tiny.zip"
    path.write_bytes(make_zip(tiny))
    sources = {
        "a folder's name": str(tiny),
        "a zip": path,
        "a zip of the folder": make_zip(tiny, "tiny/"),
        "a stored zip": make_zip(tiny, compression=zipfile.ZIP_STORED),
        "a zip from Windows": make_zip(tiny, "tiny\\"),
        "a zip with ./ before each name": make_zip(tiny, "./tiny/"),
        "files": {file.name: file.read_bytes() for file in tiny.iterdir()},
        "files as memory": {f.name: memoryview(f.read_bytes()) for f in tiny.iterdir()},
    }
    for name, given in sources.items():
        got = EdgeCVAE.load(given).generate(3, seed=4)
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_only_the_files_that_are_run_need_to_be_there(tiny):
    names = (MANIFEST, "encoder.onnx", "decoder.onnx")
    files = {name: (tiny / name).read_bytes() for name in names}
    assert EdgeCVAE.load(files).generate(1).shape == (1, 8, 8, 1)


def test_a_changed_byte_in_any_file_is_refused(tiny):
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    for name in ("encoder.onnx", "decoder.onnx"):
        for position in (0, len(files[name]) // 2, len(files[name]) - 1):
            changed = bytearray(files[name])
            changed[position] ^= 1
            with pytest.raises(BundleError, match=f"{name} was changed"):
                EdgeCVAE.load({**files, name: bytes(changed)})


def test_a_missing_file_is_named(tiny, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    (copy / "encoder.onnx").unlink()
    for given in (copy, {f.name: f.read_bytes() for f in copy.iterdir()}, make_zip(copy)):
        with pytest.raises(BundleError, match=r"encoder\.onnx"):
            EdgeCVAE.load(given)


def test_a_newer_format_is_refused(tiny):
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    newer = files[MANIFEST].replace(b'"format_version": 2', b'"format_version": 3')
    assert newer != files[MANIFEST]
    with pytest.raises(BundleError, match="newer"):
        EdgeCVAE.load({**files, MANIFEST: newer})


def test_a_manifest_whose_paths_lead_out_is_refused(tiny):
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    for name in (b"../decoder.onnx", b"/etc/passwd", b"a/decoder.onnx", b"..\\\\decoder.onnx"):
        fields = json.loads(files[MANIFEST].replace(b'"decoder.onnx"', b'"' + name + b'"'))
        wrong = json.dumps({**fields, "digest": digest(fields)}).encode()
        with pytest.raises(BundleError, match="file name"):
            EdgeCVAE.load({**files, MANIFEST: wrong})


def test_a_bundle_of_links_as_caches_and_clusters_lay_them_is_the_same(tiny, model, tmp_path):
    # Hugging Face: snapshots/COMMIT/FILE is a link to blobs/HASH.
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "abc"
    # Kubernetes: FILE is a link to ..data/FILE, and ..data to a folder named after the time.
    mounted = tmp_path / "mounted"
    for folder in (blobs, snapshot, mounted):
        folder.mkdir(parents=True)
    shutil.copytree(tiny, mounted / "..2026_11_25")
    (mounted / "..data").symlink_to("..2026_11_25")
    for number, file in enumerate(sorted(tiny.iterdir())):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
        (mounted / file.name).symlink_to(f"..data/{file.name}")
    expected = model.generate(3, seed=4)
    for folder in (snapshot, mounted):
        np.testing.assert_array_equal(EdgeCVAE.load(folder).generate(3, seed=4), expected)


@pytest.mark.parametrize("name", [MANIFEST, "decoder.onnx"])
def test_what_is_no_regular_file_is_refused_without_waiting(tiny, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)

    def replace(make: Callable[[Path], object]) -> None:
        (copy / name).unlink()
        make(copy / name)
        with pytest.raises(BundleError, match=r"regular file|at most|no bundle|symbolic"):
            EdgeCVAE.load(copy)

    replace(os.mkfifo)
    replace(lambda path: path.symlink_to("/dev/zero"))
    replace(lambda path: path.symlink_to(name))  # to itself
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    replace(lambda path: path.symlink_to(tmp_path / "sparse"))


def test_a_zip_that_is_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "bundle.zip")
    with pytest.raises(BundleError):
        open_bundle(tmp_path / "bundle.zip")


def test_a_loaded_zip_leaves_no_file_open(tiny, tmp_path):
    (tmp_path / "bundle.zip").write_bytes(make_zip(tiny))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        open_bundle(tmp_path / "bundle.zip").read("golden.npz")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_cannot_be_unpacked_in_bounds_is_refused(tiny, method):
    with pytest.raises(BundleError, match="stored or deflated"):
        open_bundle(make_zip(tiny, compression=method))


def test_a_zip_whose_list_of_files_is_absurdly_long_is_refused(tiny):
    content = bytearray(make_zip(tiny))
    end = content.index(b"PK\x05\x06")
    content[end:end] = bytes(2 << 20)
    struct.pack_into("<I", content, end + (2 << 20) + 12, 2 << 20)  # the size of that list
    with pytest.raises(BundleError, match="absurdly long"):
        open_bundle(bytes(content))


@pytest.mark.parametrize(
    "name", ["../evil.bin", "/evil.bin", "a/../../evil.bin", "a\\..\\evil.bin", "C:evil.bin"]
)
def test_a_zip_with_a_name_that_leads_out_is_refused(name):
    with pytest.raises(BundleError, match="leads out"):
        open_bundle(zip_of({MANIFEST: b"{}", name: b""}))


def test_a_zip_that_would_unpack_to_an_absurd_size_is_refused(tiny):
    content = bytearray(make_zip(tiny))
    # The size that the central directory states for its first file: 4 GB less one byte.
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)
    with pytest.raises(BundleError, match="unpack to at most"):
        open_bundle(bytes(content))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tiny):
    buffer = io.BytesIO(make_zip(tiny))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(300 << 20))
    assert len(buffer.getvalue()) < 1 << 20
    with pytest.raises(BundleError, match="unpack to at most"):
        open_bundle(buffer.getvalue())


def test_a_zip_of_very_many_files_is_refused():
    with pytest.raises(BundleError, match="at most 1000 files"):
        open_bundle(zip_of({f"{i}": b"" for i in range(1001)}))


def test_a_zip_with_no_manifest_or_two_is_refused():
    for names in ({"other": b""}, {MANIFEST: b"", f"a/{MANIFEST}": b""}, {f"a/b/{MANIFEST}": b""}):
        with pytest.raises(BundleError, match="must hold one"):
            open_bundle(zip_of(names))


def test_a_zip_that_names_a_file_twice_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(MANIFEST, b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(MANIFEST, b"{}")
    with pytest.raises(BundleError, match="once"):
        open_bundle(buffer.getvalue())


def test_a_damaged_or_encrypted_zip_is_refused(tiny):
    content = make_zip(tiny)
    with pytest.raises(BundleError, match="readable zip"):
        open_bundle(content[: len(content) // 2])
    encrypted = bytearray(content)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for entry in re.finditer(re.escape(signature), content):
            encrypted[entry.start() + flags] |= 1
    with pytest.raises(BundleError, match="encrypted"):
        open_bundle(bytes(encrypted))


def test_what_is_no_bundle_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for given in (tmp_path / "nowhere", tmp_path, tmp_path / "file", b"", b"PK", {}):
        with pytest.raises(BundleError):
            EdgeCVAE.load(given)


def test_the_working_folders_own_bundle_comes_first(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, tmp_path / "export" / "mnist")
    assert default_bundle() == Path("export/mnist")
    assert EdgeCVAE.load().image_shape == (8, 8, 1)


def test_the_packages_bundle_comes_second(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "reference_bundle", lambda: tiny)
    assert default_bundle() == tiny


def test_without_any_bundle_the_way_to_one_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "reference_bundle", lambda: None)
    with pytest.raises(BundleError, match="quickstart"):
        default_bundle()
