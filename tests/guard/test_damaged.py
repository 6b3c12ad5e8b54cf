"""Damaged files are looked at without an error of Python's own, in bounded time and memory."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest
from runtime.fuzz_models import damage

from cvae_edge.errors import BundleError
from cvae_edge.guard import check_graph
from cvae_edge.model_config import ModelShape

TINY = Path(__file__).parents[1] / "data" / "tiny"


@pytest.mark.parametrize("name", ["decoder.int8.onnx", "encoder.onnx", "decoder.tflite"])
def test_a_damaged_file_is_passed_or_refused(name):
    content, random_ = (TINY / name).read_bytes(), random.Random(0)
    started = time.process_time()
    for _ in range(1500):
        with contextlib.suppress(BundleError):
            damaged = damage(content, random_)
            check_graph(name, name.rpartition(".")[2], damaged, ModelShape((8, 8, 1), 4), False)
    assert time.process_time() - started < 60  # a few seconds; none may hang
