"""I/O binding, on the CPU's memory, where every machine can run it."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from cvae_edge.benchmark.calls import make_inputs
from cvae_edge.benchmark.on_device import open_on_device
from cvae_edge.runtime.engines import open_session


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_bound_runs_take_the_inputs_in_turn_and_give_what_unbound_ones_give(tiny, role):
    artifact = tiny.manifest.find(role, "onnx")
    content = tiny.read(artifact)
    inputs = list(islice(make_inputs(tiny.manifest, role, 5), 2))
    run = open_on_device(artifact, content, 1, "cpu", inputs, "cpu")
    for values in (*inputs, inputs[0]):
        expected = list(open_session(artifact, content, 1)(**values).values())
        got = [value.numpy() for value in run()]
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
