"""Calls that take turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvae_edge.bundle import Bundle
from cvae_edge.runtime.engines import find_engine, is_installed
from cvae_edge.runtime.timing import make_call, median_microseconds, time_in_turns


def test_calls_take_turns_and_a_turns_first_run_is_not_counted() -> None:
    ran: list[str] = []
    calls = {name: lambda name=name: ran.append(name) for name in "ab"}
    times = time_in_turns(calls, turns=2, runs=3)
    assert "".join(ran) == "aaaabbbb" * 2
    assert {name: len(t) for name, t in times.items()} == {"a": 6, "b": 6}
    assert all(t >= 0 for t in times["a"])


def test_no_further_turns_begin_after_the_time_is_up() -> None:
    ran: list[str] = []
    calls = {name: lambda name=name: ran.append(name) for name in "ab"}
    time_in_turns(calls, turns=1000, runs=1, seconds=0.0)
    assert "".join(ran) == "aabb"  # one turn each in any case


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_every_file_of_a_bundle_can_be_timed(tiny: Path, format: str) -> None:
    if not is_installed(find_engine(format)):
        pytest.skip(f"no engine for {format} is installed")
    bundle = Bundle.open(tiny)
    calls = {
        f"{a.file} of {batch}": make_call(a, bundle.read(a), batch)
        for a in bundle.manifest.artifacts
        if a.format == format
        for batch in (1, 3)
    }
    assert len(calls) >= 8
    assert all(t > 0 for t in median_microseconds(calls, turns=1).values())
