"""A file that nobody vouches for becomes C, or is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compiled import manifest

from cvae_edge.c.model import file_of, write_c
from cvae_edge.errors import BundleError

TINY = Path(__file__).parents[1] / "data" / "tiny"


FILES = {
    **{role: TINY / f"{role}.int8.tflite" for role in ("encoder", "decoder")},
    **{role: TINY.parent / "tiny_prior" / f"{role}.tflite" for role in ("prior", "density")},
}


@pytest.mark.parametrize("role", FILES)
def test_whatever_bytes_are_changed(role: str) -> None:
    whole = {r: file.read_bytes() for r, file in FILES.items()}
    content = whole[role]
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 30)):
            changed[place] = rng.integers(0, 256)
        try:
            write_c(manifest(), {**whole, role: bytes(changed)})
        except BundleError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(f"{file_of(role)} cannot be made into C" in m for m in messages)


def test_a_name_cannot_leave_its_place_in_the_text() -> None:
    content = (TINY / "decoder.int8.tflite").read_bytes()
    hostile = content.replace(b"x_logits", b"x){}/*\0\0")
    assert hostile != content
    with pytest.raises(BundleError, match="names in C must be of small letters and digits"):
        write_c(manifest(), {"decoder": hostile})
