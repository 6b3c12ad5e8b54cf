"""Make tests/data/tiny_prior: a learned prior for tests/data/tiny, as small as one can be.

    python tests/data/make_tiny_prior.py

Its weights are drawn, not fitted: what files and devices do with a prior is the point.
artifacts.json holds the manifest's entries.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from cvae_edge.architectures.flow import Flow, new_flow
from cvae_edge.exporters.settings import Kind
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.manifest import Artifact

OUT = Path(__file__).resolve().with_name("tiny_prior")
LATENT_DIM = 4


def main() -> None:
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    flow = new_flow(LATENT_DIM, 0, blocks=1, units=8)
    flow = Flow(
        {
            name: (value + rng.normal(0, 0.2, value.shape)).astype(np.float32)
            for name, value in flow.weights.items()
        }
    )
    entries = []
    for role, network in flow.networks().items():
        for format, precision in (("onnx", "float32"), ("tflite", "float32"),
                                  ("onnx", "dynamic_range")):  # fmt: skip
            file = TARGETS[format].emit(network, precision)
            name = Kind(role, format, precision).file
            (OUT / name).write_bytes(file.content)
            sha256 = hashlib.sha256(file.content).hexdigest()
            facts = (name, format, role, precision, None)
            size = len(file.content)
            entry = Artifact(*facts, file.inputs, file.outputs, size, sha256, file.opset)
            entries.append(entry.to_dict())
    np.savez(OUT / "weights.npz", **flow.weights)
    (OUT / "artifacts.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
