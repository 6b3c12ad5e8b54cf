"""Where tensors lie: views are numpy's, and what lives at the same time does not overlap."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from compiled import graph_of, manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvae_edge.c.arena import Life, place
from cvae_edge.c.layout import Layout
from cvae_edge.c.views import View, dense, merged

REFERENCE = Path(__file__).parents[2] / "export" / "reference"
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)
any_machine = settings(deadline=None)  # by default an example may take 0.2 s


def as_array(view: View, size: int = 1 << 12) -> np.ndarray:
    """Return the view of numbered bytes, so that equal numbers are equal places."""
    whole = np.arange(size, dtype=np.int32)
    strides = tuple(4 * s for s in view.strides)
    return np.lib.stride_tricks.as_strided(whole[view.offset :], view.shape, strides)


@any_machine
@given(SHAPES, st.data())
def test_a_part_that_is_reshaped_has_the_same_values_in_the_same_order(
    shape: list[int], data: st.DataObject
) -> None:
    view = dense(0, shape)
    axis = data.draw(st.integers(0, len(shape) - 1))
    start = data.draw(st.integers(0, shape[axis] - 1))
    view = view.part(axis, start, data.draw(st.integers(1, shape[axis] - start)))
    sizes = [n for n in view.shape for n in factors(n)]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(sizes))))) | {len(sizes)})
    new = [math.prod(sizes[a:b]) for a, b in zip([0, *cuts], cuts, strict=False)]
    reshaped, array = view.reshaped(new), as_array(view)
    wanted = array.reshape(new)
    assert (reshaped is None) == (not np.shares_memory(wanted, array))  # else numpy copies too
    if reshaped is not None:
        np.testing.assert_array_equal(as_array(reshaped), wanted)


def factors(n: int) -> list[int]:
    for p in (2, 3):
        if n > p and n % p == 0:
            return [p, *factors(n // p)]
    return [n]


def test_rows_of_a_concatenation_can_be_split_and_not_joined() -> None:
    rows = dense(0, (1, 7, 1792)).part(2, 896, 896)
    pixels = rows.reshaped((1, 7, 7, 128))
    assert pixels is not None
    assert (pixels.offset, pixels.strides[1:]) == (896, (1792, 128, 1))
    assert rows.reshaped((1, 7 * 896)) is None


@any_machine
@given(SHAPES, st.data())
def test_merged_axes_visit_the_same_places_in_the_same_order(
    shape: list[int], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    view = dense(0, [shape[i] for i in np.argsort(order)])
    strides = tuple(view.strides[i] for i in order)
    sizes, (kept,) = merged(shape, strides)
    wanted = as_array(View(0, 0, tuple(shape), strides)).ravel()
    got = as_array(View(0, 0, tuple(sizes), tuple(kept))).ravel()
    np.testing.assert_array_equal(got, wanted)


LIVES = st.builds(
    lambda size, first, length: Life(size, first, first + length),
    st.integers(1, 500), st.integers(0, 20), st.integers(0, 10),
)  # fmt: skip


@any_machine
@given(st.lists(LIVES, max_size=20))
def test_buffers_that_live_at_the_same_time_do_not_overlap(lives: list[Life]) -> None:
    offsets, size = place(dict(enumerate(lives)))
    for (i, a), (j, b) in combinations(enumerate(lives), 2):
        if a.first <= b.last and b.first <= a.last:
            assert offsets[i] + a.size <= offsets[j] or offsets[j] + b.size <= offsets[i]
    assert size == max((offsets[i] + a.size for i, a in enumerate(lives)), default=0)
    assert all(offset % 4 == 0 for offset in offsets.values())


@pytest.mark.parametrize(("role", "most"), [("decoder", 38_000), ("encoder", 8_000)])
def test_pads_and_concatenations_take_no_memory(role: str, most: int) -> None:
    file = REFERENCE / f"{role}.int8.tflite"
    if not file.exists():
        pytest.skip("the reference bundle is not beside the tests")
    layout = Layout(graph_of(file.read_bytes(), manifest((28, 28, 1), 50)))
    functions = {step.function for step in layout.steps}
    assert functions <= {"cvae_conv2d", "cvae_move"}
    assert sum(step.function == "cvae_move" for step in layout.steps) == (role == "decoder")
    assert layout.arena_bytes <= most  # TFLite Micro takes 85,165 and 11,552
