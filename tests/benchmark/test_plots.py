"""The pictures: a right Pareto front, and axes that can show what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark.conftest import make_results, make_row
from PIL import Image

from cvae_edge.benchmark.plots import BATCH, LOSS, draw_plots, pareto_front


def test_the_front_holds_what_nobody_beats_in_time_and_loss():
    fast = make_row(ms=1.0, loss=0.2)
    middle = make_row(ms=2.0, loss=0.1)
    beaten = make_row(ms=3.0, loss=0.15)
    best = make_row(ms=4.0, loss=-0.01)
    worst = make_row(ms=5.0, loss=0.0)
    assert pareto_front([worst, beaten, best, fast, middle]) == [fast, middle, best]


def test_a_loss_below_a_thousandth_of_a_nat_is_no_reason_to_be_slower():
    fast, slow = make_row(ms=1.0, loss=-8e-8), make_row(ms=2.0, loss=-9e-8)
    assert pareto_front([slow, fast]) == [fast]
    assert pareto_front([make_row(ms=1.0, loss=0.1), slow := make_row(ms=1.0, loss=0.0)]) == [slow]


def test_both_plots_are_drawn_whatever_the_losses(tiny, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    rows = [
        make_row("decoder.onnx", 1.0, loss=-1e-7),
        make_row("decoder.int8.onnx", 0.1, loss=40.0, threads=2),
        make_row("decoder.float16.tflite", 30.0, loss=0.0, batch=64),
        make_row("decoder.dynamic_range.tflite", 3.0, loss=None),
    ]
    assert draw_plots(make_results(tiny, *rows), tmp_path) == [LOSS, BATCH]
    for name in (LOSS, BATCH):
        pixels = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert pixels.shape == (600, 1020)
        assert (pixels < 200).mean() > 0.01


def test_what_there_is_no_data_for_is_not_drawn(tiny, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    unknown, stopped = make_row(loss=None), make_row("decoder.tflite")
    stopped.status = "stopped"
    assert draw_plots(make_results(tiny, unknown), tmp_path) == [BATCH]
    assert draw_plots(make_results(tiny, stopped), tmp_path) == [BATCH][:0]
