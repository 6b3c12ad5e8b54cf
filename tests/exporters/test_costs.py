"""What an export says of times."""

from __future__ import annotations

import numpy as np
import pytest

from cvae_edge.exporters import costs
from cvae_edge.manifest import Artifact


@pytest.mark.parametrize(
    ("ratio", "noise", "said"),
    [(2.0, 0.1, True), (1.15, 0.02, True), (1.15, 0.6, False), (0.7, 0.1, False)],
)
def test_slower_is_said_of_what_is_slower_run_by_run(
    ratio: float, noise: float, said: bool
) -> None:
    artifact = Artifact("encoder.int8.onnx", "onnx", "encoder", "int8", None, (), (), 1, "0" * 64)
    rng = np.random.default_rng(0)
    machine = rng.uniform(1, 5, 60)  # slows down at times, for both
    times = {
        "encoder.onnx": list(100 * machine),
        artifact.file: list(100 * machine * ratio * np.exp(noise * rng.standard_normal(60))),
        f"naive {artifact.file}": [50.0, 60.0, 1000.0],
    }
    report = costs._with_latency(artifact, times).report
    assert ("slower" in report) == said
    assert report["naive_latency_us"] == 60.0
    assert report["latency_us"] == pytest.approx(np.median(times[artifact.file]), abs=0.1)
