"""What a right device may differ by, and sums that saturate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cvae_edge.bundle import Bundle
from cvae_edge.exporters.build import Exported
from cvae_edge.exporters.parity import ParityValueError
from cvae_edge.exporters.subject import load_subject
from cvae_edge.exporters.tolerance import measure_tolerance
from cvae_edge.runtime.engines import open_session
from cvae_edge.training.run import Run


def test_kernels_that_saturate_are_refused_at_export(tiny_bundle: Path, tiny_run: Path) -> None:
    bundle, reference = Bundle.open(tiny_bundle), load_subject(Run.open(tiny_run)).reference
    artifact = bundle.manifest.find("decoder", "onnx", "int8")
    content = bundle.read(artifact)
    exported = Exported(artifact, content, open_session(artifact, content), {"x_logits": 0.01})
    right = measure_tolerance(exported, reference)
    assert 0 < right["x_logits"] < 1

    def saturated(z: np.ndarray) -> dict[str, np.ndarray]:
        x_logits = exported.graph(z=z)["x_logits"].copy()
        x_logits[0, 0, 0] += 3 * np.abs(x_logits).max()
        return {"x_logits": x_logits}

    with pytest.raises(ParityValueError, match="its integer sums saturate"):
        measure_tolerance(replace(exported, graph=saturated), reference)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_float16_may_be_summed_in_float16(tiny_bundle: Path, format: str) -> None:
    """As onnxruntime does on arm64: measured there, up to 20 times the error of float32 sums."""
    for role in ("encoder", "decoder"):
        artifact = Bundle.open(tiny_bundle).manifest.find(role, format, "float16")
        for name, error in artifact.difference.items():
            assert 20 * error < artifact.tolerance[name] < 100 * error
