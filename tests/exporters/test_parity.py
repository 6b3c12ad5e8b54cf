from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvae_edge.exporters.parity import (
    ParityNameError,
    ParityShapeError,
    ParityValueError,
    Reference,
    check_parity,
)
from cvae_edge.exporters.subject import load_subject
from cvae_edge.manifest import Artifact, Tensor
from cvae_edge.training.run import Run


@pytest.fixture(scope="module")
def reference(tiny_run: Path) -> Reference:
    return load_subject(Run.open(tiny_run)).reference.take(8)


def decoder(name: str = "x_logits", precision: str = "float32") -> Artifact:
    return Artifact(
        "decoder.onnx",
        "onnx",
        "decoder",
        precision,
        "transposed",
        (Tensor("z", (None, 3), "float32"),),
        (Tensor(name, (None, 12, 16, 1), "float32"),),
        1,
        "0" * 64,
    )


def graph_of(reference: Reference, change):
    return lambda z: {"x_logits": change(reference.tensors["x_logits"][: len(z)])}


def test_the_trained_model_itself_differs_by_nothing(reference: Reference) -> None:
    differences = check_parity(decoder(), graph_of(reference, lambda v: v), reference)
    assert differences["x_logits"].largest == 0


def test_names_come_first(reference: Reference) -> None:
    with pytest.raises(ParityNameError, match="must map z to x_logits, got z to Identity_0"):
        check_parity(decoder("Identity_0"), graph_of(reference, lambda v: v[..., 0]), reference)


def test_shapes_come_second(reference: Reference) -> None:
    with pytest.raises(ParityShapeError, match=r"shape \(1, 12, 16, 1\), got \(1, 12, 16\)"):
        check_parity(decoder(), graph_of(reference, lambda v: v[..., 0] + 1), reference)


def test_values_come_last(reference: Reference) -> None:
    with pytest.raises(ParityValueError, match=r"within 0.0001 .* got a difference of 0.1"):
        check_parity(decoder(), graph_of(reference, lambda v: v + 0.1), reference)
    differences = check_parity(
        decoder(precision="int8"), graph_of(reference, lambda v: v + 0.1), reference
    )
    assert differences["x_logits"].mean == pytest.approx(0.1, rel=1e-3)


def test_nan_is_no_value_in_any_precision(reference: Reference) -> None:
    with pytest.raises(ParityValueError, match="must be finite"):
        check_parity(
            decoder(precision="int8"), graph_of(reference, lambda v: v * np.nan), reference
        )
