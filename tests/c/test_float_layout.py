"""Float graphs, a learned prior's: slices take no memory, what has no kernel is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import manifest

from cvae_edge.c.emulate_floats import emulate_floats
from cvae_edge.c.float_layout import FloatLayout
from cvae_edge.c.model import write_c
from cvae_edge.c.tflite_graph import TFLiteGraph, read_graph
from cvae_edge.errors import BundleError

DATA = Path(__file__).parents[1] / "data"
PRIOR = {
    role: (DATA / "tiny_prior" / f"{role}.tflite").read_bytes() for role in ("prior", "density")
}
HALVES = {r: (DATA / "tiny" / f"{r}.int8.tflite").read_bytes() for r in ("encoder", "decoder")}


def graph(role: str) -> TFLiteGraph:
    return read_graph(role, PRIOR[role], manifest().model)


def test_the_density_undoes_the_prior_in_numpy() -> None:
    eps = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    z = emulate_floats(graph("prior"), {"eps": eps})["z"]
    back = emulate_floats(graph("density"), {"z": z})
    np.testing.assert_allclose(back["eps"], eps, atol=1e-5)
    assert back["log_det"].shape == (50, 1)


def test_slices_are_parts_of_what_they_are_taken_from() -> None:
    given = graph("prior")
    layout = FloatLayout(given)
    _, eps = layout.border(given.inputs["eps"])
    slices = [o.outputs[0] for o in given.operators if o.name == "STRIDED_SLICE"]
    begins = {layout.border(number)[1] - eps for number in slices}
    assert begins == {0, 2}
    functions = [step.function for step in layout.steps]
    assert (
        len(functions)
        == len(given.operators) - len(slices) + functions.count("cvae_float_copy") / 2
    )
    assert layout.arena_bytes <= 4 * (2 * 4 + 4 * 8)


def test_the_arena_holds_all_graphs_and_the_weights_are_counted() -> None:
    alone, whole = write_c(manifest(), HALVES), write_c(manifest(), {**HALVES, **PRIOR})
    assert whole.arena_bytes >= max(FloatLayout(graph(role)).arena_bytes for role in PRIOR)
    weights = {
        t.data.tobytes() for role in PRIOR for t in graph(role).tensors
        if t.data is not None and t.dtype == np.float32
    }  # fmt: skip
    assert whole.constant_bytes - alone.constant_bytes >= sum(
        map(len, weights)
    )  # of equal ones one
    assert "CVAE_HAS_PRIOR 0" in alone.header
    assert "cvae_floats" not in alone.source


def test_a_prior_of_another_size_is_refused() -> None:
    with pytest.raises(BundleError, match="its tensors must be eps of 5, z of 5"):
        write_c(manifest(latent_dim=5), {**HALVES, **PRIOR})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_c_cannot_write_are_refused(value: float) -> None:
    kernel = next(t for t in graph("prior").tensors if t.shape == (8, 8))
    assert kernel.data is not None
    old = kernel.data.tobytes()
    changed = PRIOR["prior"].replace(old[:4], np.float32(value).tobytes())
    with pytest.raises(BundleError, match="the prior's TFLite file .* int8 or finite floats"):
        write_c(manifest(), {**HALVES, "prior": changed})


def test_a_prior_alone_is_no_model() -> None:
    with pytest.raises(BundleError, match="must have int8 TFLite files"):
        write_c(manifest(), PRIOR)
