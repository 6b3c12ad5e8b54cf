"""The tiny bundle, which tests/data/make_tiny.py makes, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvae_edge import EdgeCVAE

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.fixture(scope="session")
def tiny() -> Path:
    """A bundle of images of 8x8x1 and 4 latents, onnx and tflite, thresholded."""
    return TINY


@pytest.fixture(scope="session")
def model(tiny: Path) -> EdgeCVAE:
    return EdgeCVAE.load(tiny, threads=2)


@pytest.fixture(scope="session")
def images(model: EdgeCVAE) -> np.ndarray:
    """50 images that look like what the model was trained on, uint8 of 0 and 255."""
    return (model.generate(50, seed=9) > 0.5).astype(np.uint8) * np.uint8(255)
