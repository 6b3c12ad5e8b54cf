from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from guard.wire import model, node

from cvae_edge.bundle import Bundle, new_bundle, write_manifest
from cvae_edge.errors import BundleError, CvaeEdgeError
from cvae_edge.likelihoods import make_likelihood
from cvae_edge.manifest import Manifest, digest
from cvae_edge.manifest_json import parse_manifest
from cvae_edge.model_config import ModelShape
from cvae_edge.preprocess import Pixels

TINY = Path(__file__).parent / "data" / "tiny"
VERSION_1 = Path(__file__).parent / "data" / "v1"  # the reference bundle of version 1


def fields() -> dict[str, Any]:
    return json.loads((TINY / "manifest.json").read_text())


def parse(content: Any) -> Manifest:
    """Parse fields that somebody changed and signed again."""
    signed = {**content, "digest": digest(content)} if isinstance(content, dict) else content
    return parse_manifest(json.dumps(signed).encode())


def empty(name: str) -> Manifest:
    shape = (28, 28, 1)
    bernoulli = make_likelihood("bernoulli")
    return Manifest(name, ModelShape(shape, 50), Pixels(shape), bernoulli, (), {}, {}, {})


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    manifest = parse(fields())
    write_manifest(tmp_path, manifest)
    assert parse_manifest((tmp_path / "manifest.json").read_bytes()) == manifest


def test_a_later_versions_fields_are_ignored() -> None:
    later = fields()
    later["mood"] = "sunny"
    later["artifacts"][0]["mood"] = "sunny"
    assert parse(later) == parse(fields())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format_version",), 3, "format_version must be 1 or 2"),
        (("format_version",), True, "format_version must be 1 or 2"),
        (("name",), 3, "name must be str"),
        (("artifacts",), {}, "artifacts must be list"),
        (("pixels", "binarize"), "maybe", "binarize must be one of"),
        (("pixels", "image_shape"), [8, 8, 3], "pixels must be the model's"),
        (("pixels",), [], "pixels must be an object"),
        (("likelihood",), "gaussian", "likelihood must be dict"),
        (("likelihood",), {"name": "gaussian", "scale": [0]}, "gaussian must have 1 scales above"),
        (("likelihood",), {"name": "logistic", "scale": []}, "logistic must have 1 scales"),
        (("artifacts", 0, "file"), "../../etc/passwd", "a file name must be plain"),
        (("artifacts", 0, "file"), "/etc/passwd", "a file name must be plain"),
        (("artifacts", 0, "file"), "C:evil.onnx", "a file name must be plain"),
        (("artifacts", 0, "file"), ".hidden", "a file name must be plain"),
        (("artifacts", 0, "file"), "manifest.json", "a file name must be plain"),
        (("artifacts", 0, "file"), "a" * 200, "a file name must be plain"),
        (("artifacts", 0, "file"), ["x"], "a file name must be plain"),
        (("artifacts", 0, "sha256"), "00", "64 hexadecimal digits"),
        (("artifacts", 0, "format"), "pick.le", "format must be a word"),
        (("artifacts", 0, "role"), ["encoder"], "role must be str"),
        (("artifacts", 0, "precision"), {}, "precision must be str"),
        (("artifacts", 0, "lowering"), "../magic", "lowering must be a word"),
        (("artifacts", 0, "size_bytes"), "1", "size_bytes must be an integer"),
        (("artifacts", 0, "tolerance"), {"mean": "wide"}, "tolerance must hold numbers"),
        (("artifacts", 0, "inputs"), [3], "a tensor must be an object"),
        (("artifacts", 0, "inputs", 0, "shape"), [0], "positive integers or null"),
        (("artifacts", 0, "inputs", 0, "dtype"), "o b", "dtype must be a word"),
        (("artifacts", 0, "inputs", 0, "scale"), -1, "scale must be above 0"),
        (("artifacts", 0, "inputs", 0, "scale"), 0, "scale must be above 0"),
        (("artifacts", 0, "inputs", 0, "zero_point"), 2**63, "zero_point must be an integer"),
        (("artifacts", 0, "inputs", 0, "shape"), [2**63], "positive integers or null"),
        (("artifacts", 0, "size_bytes"), 2**63, "size_bytes must be an integer"),
        (("artifacts", 0, "opset"), 2**63, "opset must be an integer"),
        (("model", "latent_dim"), 0, "latent_dim must be an integer of 1 to"),
        (("files",), {"../x": "0" * 64}, "a file name must be plain"),
        (("monitor",), "decoder.onnx", "the monitor must be one of files"),
    ],
)
def test_a_wrong_or_unsafe_entry_is_refused(path: tuple, value: Any, message: str) -> None:
    content = fields()
    entry = content
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    with pytest.raises(BundleError, match=message):
        parse(content)


def test_a_file_may_be_empty() -> None:
    content = fields()
    content["artifacts"][0]["size_bytes"] = 0
    assert parse(content).artifacts[0].size_bytes == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"format_version": NaN}', b"[" * 100_000],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="manifest"):
        parse_manifest(content)


@pytest.mark.parametrize("name", sorted(fields()))
def test_every_field_that_is_missing_is_an_error_or_has_a_default(name: str) -> None:
    content = fields()
    del content[name]
    if name == "report":
        assert parse(content).report == {}
    elif name == "digest":
        with pytest.raises(BundleError, match="the digest must be that of the other fields"):
            parse_manifest(json.dumps(content).encode())
    else:
        with pytest.raises(BundleError, match=name):
            parse(content)


def test_an_artifact_is_found_by_what_it_is_and_an_error_names_all() -> None:
    manifest = parse(fields())
    for a in manifest.artifacts:
        assert manifest.find(a.role, a.format, a.precision) is a
    with pytest.raises(BundleError, match=r"has no int4 decoder for onnx; it has: .*decoder\.onnx"):
        manifest.find("decoder", "onnx", "int4")
    with pytest.raises(BundleError, match="it has: none"):
        empty("nothing").find("decoder", "onnx")


def test_two_entries_for_one_file_are_refused() -> None:
    content = fields()
    content["artifacts"].append(content["artifacts"][0])
    with pytest.raises(BundleError, match="every file must be named once"):
        parse(content)


def test_a_link_to_another_file_than_the_manifests_is_refused(tmp_path: Path) -> None:
    content = fields()
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(content))
    name = content["artifacts"][0]["file"]
    os.symlink(tmp_path / "secret", folder / name)
    opened = Bundle.open(folder)
    with pytest.raises(BundleError, match=f"{name} was changed"):
        opened.read(opened.manifest.artifacts[0])


def test_a_changed_file_is_not_read(tmp_path: Path) -> None:
    content = fields()
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    artifact = parse(content).artifacts[0]
    (tmp_path / artifact.file).write_bytes((TINY / artifact.file).read_bytes() + b"x")
    with pytest.raises(BundleError, match="was changed or damaged|at most"):
        Bundle.open(tmp_path).read(artifact)


def test_a_file_that_may_do_harm_is_read_only_if_it_is_trusted(tmp_path: Path) -> None:
    content, harmful = fields(), model([node("Loop", ["z"], ["y"])])
    content["artifacts"][0] |= {
        "size_bytes": len(harmful), "sha256": hashlib.sha256(harmful).hexdigest()
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps(content | {"digest": digest(content)}))
    (tmp_path / content["artifacts"][0]["file"]).write_bytes(harmful)
    opened = Bundle.open(tmp_path)
    with pytest.raises(BundleError, match="refused before it is run"):
        opened.read(opened.manifest.artifacts[0])
    trusted = Bundle.open(tmp_path, trust=True)
    assert trusted.read(trusted.manifest.artifacts[0]) == harmful


def test_a_manifest_of_an_absurd_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b" " * (1 << 22))
    with pytest.raises(BundleError, match="readable JSON"):
        Bundle.open(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b" " * ((1 << 22) + 1))
    with pytest.raises(BundleError, match="at most"):
        Bundle.open(tmp_path)


def test_a_bundle_that_a_kill_left_between_two_names_is_opened(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / ".tiny.old")
    assert Bundle.open(tmp_path / "tiny").manifest == Bundle.open(TINY).manifest
    assert not (tmp_path / ".tiny.old").exists()


def test_a_manifest_with_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(tmp_path, empty("nan")._replace(report={"elbo": float("nan")}))
    assert not [*tmp_path.iterdir()]


def test_a_new_bundle_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_bundle(out) as folder:
        assert not out.exists()
        write_manifest(folder, empty("first"))
    assert Bundle.open(out).manifest.name == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_error_leaves_the_old_bundle_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_bundle(out) as folder:
        write_manifest(folder, empty("first"))

    def stop_half_way() -> None:
        with new_bundle(out) as folder:
            write_manifest(folder, empty("second"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_half_way()
    assert Bundle.open(out).manifest.name == "first"
    with new_bundle(out) as folder:
        write_manifest(folder, empty("third"))
    assert Bundle.open(out).manifest.name == "third"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_someone_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BundleError, match="is no bundle"), new_bundle(tmp_path):
        raise AssertionError("the block must not run")
    with pytest.raises(BundleError, match="is no bundle"), new_bundle(tmp_path / "file"):
        raise AssertionError("the block must not run")
    assert (tmp_path / "file").read_text() == "mine"


def test_what_somebody_else_put_there_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def write() -> None:
        with new_bundle(out) as folder:
            write_manifest(folder, empty("mine"))
            out.mkdir()
            (out / "file").write_text("theirs")

    with pytest.raises(BundleError, match="is no bundle"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (out / "file").read_text() == "theirs"


def test_any_byte_of_a_manifest_that_changes_is_found_or_changes_nothing() -> None:
    content = (TINY / "manifest.json").read_bytes()
    whole = parse_manifest(content)
    rng = random.Random(0)
    found = 0
    for _ in range(300):
        i, value = rng.randrange(len(content)), rng.randrange(256)
        changed = content[:i] + bytes([value]) + content[i + 1 :]
        with contextlib.suppress(BundleError):
            assert parse_manifest(changed) == whole
            continue
        found += 1
    assert found > 200


def test_a_manifest_of_version_2_is_not_read_as_version_1() -> None:
    content = (TINY / "manifest.json").read_bytes()
    old = content.replace(b'"format_version": 2', b'"format_version": 1')
    assert old != content
    with pytest.raises(BundleError, match="binarize must be there"):
        parse_manifest(old)


@pytest.mark.parametrize("name", sorted(json.loads((VERSION_1 / "manifest.json").read_text())))
def test_every_field_of_version_1_that_is_missing_is_an_error_or_has_a_default(name: str) -> None:
    content = json.loads((VERSION_1 / "manifest.json").read_text())
    del content[name]
    if name == "report":
        assert parse_manifest(json.dumps(content).encode()).report == {}
    else:
        with pytest.raises(BundleError, match="manifest.json"):
            parse_manifest(json.dumps(content).encode())


@pytest.mark.parametrize("depth", range(100, 1100, 10))
def test_deep_nesting_is_read_or_refused_in_a_sentence(depth: int) -> None:
    content = fields() | {"report": {}}
    nested = json.dumps(content).replace(
        '"report": {}', f'"report": {{"a": {"[" * depth + "]" * depth}}}'
    )
    with pytest.raises(BundleError, match="manifest.json is wrong"):
        parse_manifest(nested.encode())


def test_what_a_later_version_brings_is_kept_and_does_not_matter() -> None:
    content = fields()
    content["artifacts"][0] |= {"format": "coreml", "precision": "int2", "lowering": "winograd"}
    content["artifacts"][0]["inputs"][0]["dtype"] = "bfloat16"
    content["artifacts"][1] |= {"role": "upscaler"}
    content["likelihood"] = {"name": "mixture", "scale": [], "components": 10}
    manifest = parse(content)
    assert manifest.artifacts[0].format == "coreml"
    assert manifest.artifacts[1].role == "upscaler"
    with pytest.raises(BundleError, match="scores need the likelihood 'mixture'"):
        manifest.likelihood.log_prob(None, None)


def test_version_1_says_the_same_in_the_words_of_version_2() -> None:
    manifest = Bundle.open(VERSION_1).manifest
    old = json.loads((VERSION_1 / "manifest.json").read_text())
    assert old["format_version"] == 1
    assert manifest.model == ModelShape((28, 28, 1), 50)
    assert manifest.pixels == Pixels((28, 28, 1), binarize="threshold")
    assert manifest.likelihood == make_likelihood("bernoulli")
    assert [a.file for a in manifest.artifacts] == [a["file"] for a in old["artifacts"]]
    assert parse_manifest(json.dumps(manifest.to_dict()).encode()).artifacts == manifest.artifacts


@pytest.mark.parametrize(("old", "new"), [("static", "threshold"), ("dynamic", "draw")])
def test_version_1s_words_for_binarization_are_read(old: str, new: str) -> None:
    content = json.loads((VERSION_1 / "manifest.json").read_text()) | {"binarize": old}
    content["training"]["data"]["binarize"] = old
    manifest = parse_manifest(json.dumps(content).encode())
    assert manifest.pixels.binarize == manifest.training["data"]["binarize"] == new
    with pytest.raises(CvaeEdgeError, match="binarize must be one of"):
        parse_manifest(json.dumps(content | {"binarize": "half"}).encode())


@pytest.mark.parametrize(
    "value", ["1" + "0" * 400, "1e400", "-1e400", str(2**64), "NaN", '"\\ud800"', '"\\uDFFF"']
)
def test_numbers_and_texts_that_nothing_can_hold_or_print_are_refused(value: str) -> None:
    content = json.dumps({**fields(), "report": {"x": 0}}).replace('{"x": 0}', f'{{"x": {value}}}')
    assert value in content
    with pytest.raises(BundleError, match="readable JSON"):
        parse_manifest(content.encode())
