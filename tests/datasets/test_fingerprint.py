"""A fingerprint changes with what is read, and with nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvae_edge.datasets import keras_data
from cvae_edge.datasets.dataset import Split
from cvae_edge.datasets.fingerprint import difference, fingerprint


def test_an_npz_is_its_bytes_whatever_it_is_called(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 8, 8), np.uint8))
    content = (tmp_path / "a.npz").read_bytes()
    expected = {"the file": (len(content), hashlib.sha256(content).hexdigest())}
    assert fingerprint(str(tmp_path / "a.npz")) == expected
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    assert fingerprint(str(tmp_path / "b.npz")) == expected


def test_a_folder_is_the_files_that_are_read_by_their_place_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name in ("a.png", "b/a.png", ".hidden.png", "notes.txt"):
        Image.new("L", (8, 8)).save(folder / name, "png")
    before = fingerprint(str(folder))
    assert set(before) == {"a.png", "b/a.png"}
    (folder / "notes.txt").unlink()
    folder.rename(tmp_path / "moved")
    assert fingerprint(str(tmp_path / "moved")) == before
    Image.new("L", (8, 8), 1).save(tmp_path / "moved" / "b" / "a.png")
    assert difference(before, fingerprint(str(tmp_path / "moved"))) == "b/a.png was changed"


def test_idx_files_are_what_is_read_of_their_folder(tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "._train-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(name.encode())
    assert set(fingerprint(str(tmp_path))) == {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"}


def test_a_downloaded_set_is_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = (np.full((n, 8, 8, 1), n, np.uint8) for n in (4, 2))
    monkeypatch.setattr(keras_data, "read_keras", lambda name: (Split(train), Split(test)))
    found = fingerprint("keras:mnist")
    assert found["train"] == (256, hashlib.sha256(train.tobytes()).hexdigest())
    assert set(found) == {"train", "test"}
    assert list(fingerprint("mnist")) == ["the file"]


def test_a_difference_names_the_first_files_and_counts_the_others() -> None:
    old = {name: (1, name) for name in "abcdef"}
    new = {**{name: (1, name) for name in "bcf"}, "a": (1, "other"), "g": (1, "g")}
    assert difference(old, new) == "a was changed, d is gone, e is gone, 1 more"
    assert difference(old, dict(old)) == ""
