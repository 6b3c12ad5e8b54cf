"""Fixtures for every test: tiny images, a tiny model, and the command line in this process."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cvae_edge.cli import main
from cvae_edge.config import ModelConfig
from cvae_edge.manifest import MANIFEST, digest

# These train and export; the device side's tests run without what they need.
collect_ignore = (
    ["architectures", "training", "exporters"]
    if importlib.util.find_spec("tensorflow") is None
    else []
)
SHARED = Path(__file__).parents[2] / "shared"  # real data beside the checkout, where it is there
DATA = Path(__file__).with_name("data")
MNIST_IDX = SHARED / "data" / "mnist"


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Run ``cvae-edge ARGS`` and return its exit code and what it printed."""

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["cvae-edge", *map(str, args)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capfd.readouterr()
        return Result(int(exit_.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def tiny_model() -> ModelConfig:
    return ModelConfig("general", (8, 8, 1), 3, width=0.125)


def blobs(n: int, size: int = 8, seed: int = 0) -> np.ndarray:
    """Grey images (n, size, size, 1), uint8, of one bright square each: something to learn."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, size, size, 1), np.uint8)
    for image, (row, column) in zip(images, rng.integers(0, size - 3, (n, 2)), strict=True):
        image[row : row + 4, column : column + 4] += 180
    return images


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, x_train=blobs(400), x_test=blobs(100, seed=1))
    return path


@pytest.fixture(scope="session")
def prior_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a learned prior."""
    folder = shutil.copytree(DATA / "tiny", tmp_path_factory.mktemp("prior") / "bundle")
    shutil.copytree(DATA / "tiny_prior", folder, dirs_exist_ok=True)
    fields = json.loads((folder / MANIFEST).read_text())
    fields["artifacts"] += json.loads((folder / "artifacts.json").read_text())
    (folder / MANIFEST).write_text(json.dumps({**fields, "digest": digest(fields)}))
    return Path(folder)
