"""The best by its rule; no difference below the noise."""

from __future__ import annotations

import math

import pytest
from benchmark.conftest import make_results, make_row

from cvae_edge.benchmark.advice import choose, is_as_fast, noise_of, ranked, ratio
from cvae_edge.benchmark.report import compared
from cvae_edge.benchmark.sentence import figure, sentences


def best(results, batch=1):
    choice = choose(results, batch)
    return choice and choice.best


def test_the_fastest_of_those_that_lose_little_is_best(tiny):
    slow = make_row("decoder.onnx", 2.0)
    fast = make_row("decoder.int8.onnx", 1.0, loss=0.2)
    lossy = make_row("decoder.int8.tflite", 0.1, loss=0.51)
    results = make_results(tiny, slow, lossy, fast)
    assert best(results) is fast
    assert choose(results, 1).equals == ()
    assert ranked(results, 1) == [fast, slow, lossy]
    assert sentences(results) == [
        "Ship decoder.int8.onnx with 1 thread: 1.00 ms an image, 0.20 nats lost."
    ]
    assert [compared(results, row) for row in (fast, slow, lossy)] == ["", "2.00x", "0.10x"]


def test_among_equals_loss_then_size_then_threads_decide(tiny):
    fastest = make_row("decoder.int8.onnx", 1.0, loss=0.05, size=10)
    alike = [
        make_row("decoder.tflite", 1.01, loss=0.004, size=600),
        make_row("decoder.onnx", 1.015, loss=-0.003, size=500, threads=2),
        make_row("decoder.onnx", 1.018, loss=-0.003, size=500, threads=1),
    ]
    results = make_results(tiny, fastest, *alike, noise=0.02)
    assert best(results) is alike[2]
    assert set(map(id, choose(results, 1).equals)) == {id(fastest), id(alike[0]), id(alike[1])}
    (sentence,) = sentences(results)
    assert sentence == (
        "Ship decoder.onnx with 1 thread: 1.02 ms an image, 0.00 nats lost. Within the noise of "
        "2.0% decoder.int8.onnx with 1 thread, decoder.tflite with 1 thread and decoder.onnx with "
        "2 threads are as fast; by loss, then size, then threads, the choice comes first."
    )


def test_those_that_are_as_fast_as_the_fastest_are_called_so(tiny):
    fastest = make_row("decoder.int8.onnx", 1.0, loss=0.05)
    best_ = make_row("decoder.onnx", 1.04)
    far = make_row("decoder.tflite", 0.98, loss=0.1)
    results = make_results(tiny, fastest, best_, far, noise=0.065)
    assert best(results) is best_
    assert compared(results, far) == compared(results, fastest) == "same"


def test_a_difference_below_the_noise_is_not_reported(tiny):
    a, b = make_row("decoder.onnx", 1.0), make_row("decoder.tflite", 1.04, size=2000)
    assert compared(make_results(tiny, a, b, noise=0.05), b) == "same"
    assert compared(make_results(tiny, a, b, noise=0.03), b) == "1.04x"


def test_neither_is_one_below_the_rows_own_scatter(tiny):
    a, b = make_row("decoder.onnx", 1.0), make_row("decoder.tflite", 1.0, scatter=0.4)
    results = make_results(tiny, a, b, noise=0.001)
    assert ratio(b, a) == pytest.approx(1.2)
    assert noise_of(results, b, a) == pytest.approx(1.57 * 0.4 / math.sqrt(10))
    assert not is_as_fast(results, b, a)
    b = make_row("decoder.tflite", 0.95, scatter=0.4)
    assert is_as_fast(make_results(tiny, a, b, noise=0.001), b, a)


def test_nor_one_below_a_step_of_the_clock(tiny):
    a, b = make_row("decoder.onnx", 1.0), make_row("decoder.tflite", 1.1)
    results = make_results(tiny, a, b, noise=0.001)
    assert not is_as_fast(results, b, a)
    results.clock_seconds = 2e-4
    assert is_as_fast(results, b, a)


def test_where_the_noise_is_not_known_nothing_differs(tiny):
    a, b = make_row("decoder.onnx", 1.0), make_row("decoder.tflite", 9.0)
    results = make_results(tiny, a, b)
    results.noise.clear()
    assert compared(results, b) == "same"
    assert "Within the noise of unknown size" in sentences(results)[0]


def test_ratios_are_those_within_rounds(tiny):
    a, b = make_row("decoder.onnx", 1.0), make_row("decoder.tflite", 2.0)
    for row in (a, b):  # a machine that slows down to a third
        row.relative = [t * (1 + 2 * i / 9) for i, t in enumerate(row.relative)]
    assert ratio(b, a) == pytest.approx(2.0)
    assert noise_of(make_results(tiny, a, b, noise=0.01), a, b) == pytest.approx(0.01)


def test_a_quantized_file_whose_loss_nobody_measured_is_not_recommended(tiny):
    unknown = make_row("decoder.int8.onnx", 0.1, loss=None)
    plain = make_row("decoder.onnx", 1.0, loss=None)
    assert best(make_results(tiny, unknown, plain)) is plain
    results = make_results(tiny, unknown)
    assert choose(results, 1) is None
    assert sentences(results) == [
        "For single images there is no file that is known to lose little enough."
    ]


def test_each_batch_has_its_best_and_rows_that_were_cut_short_none(tiny):
    one, many = make_row(batch=1), make_row("decoder.tflite", 32.0, batch=64)
    cut = make_row("decoder.int8.onnx", 0.1, batch=64)
    cut.status = "stopped"
    results = make_results(tiny, one, many, cut)
    assert best(results, 64) is many
    assert sentences(results)[1] == (
        "For batches of 64 ship decoder.tflite with 1 thread: 0.500 ms an image, 0.00 nats lost."
    )
    many.status = "stopped"
    assert "nothing was measured to the end" in sentences(results)[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (0.2, "0.200"), (9.994, "9.99"), (1234.5, "1,234"), (0.0, "0")],
)
def test_figures_have_three_digits(value, text):
    assert figure(value) == text
