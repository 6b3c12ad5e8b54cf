"""The tiny bundle with a monitor, and images for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE
from cvae_edge.runtime.monitoring import fit_bundle

TINY = Path(__file__).parents[1] / "data" / "tiny"


def drawn(n: int, seed: int) -> np.ndarray:
    """Images (n, 8, 8, 1) like those the tiny model was trained on, uint8 of 0 and 255."""
    return (EdgeCVAE.load(TINY).generate(n, seed=seed) > 0.5).astype(np.uint8) * np.uint8(255)


@pytest.fixture(scope="session")
def good() -> np.ndarray:
    return drawn(400, 5)


@pytest.fixture(scope="session")
def noise() -> np.ndarray:
    """Images of noise (20, 8, 8, 1), which are anomalous."""
    bits = np.random.default_rng(0).random((20, 8, 8, 1)) > 0.5
    return bits.astype(np.uint8) * np.uint8(255)


@pytest.fixture(scope="session")
def monitored(tmp_path_factory: pytest.TempPathFactory, good: np.ndarray) -> Path:
    """The tiny bundle with a monitor for float32 and int8; not to be written to."""
    folder = tmp_path_factory.mktemp("monitored") / "tiny"
    shutil.copytree(TINY, folder)
    fit_bundle(folder, good, false_alarms=0.05, precisions=["float32", "int8"])
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The tiny bundle without a monitor, to write to."""
    shutil.copytree(TINY, tmp_path / "bundle")
    return tmp_path / "bundle"
