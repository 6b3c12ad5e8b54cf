"""Golden integers for a device's self-test: computed in numpy, not by the code that is tested."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.bundle import Bundle
from cvae_edge.c.emulate import emulate
from cvae_edge.c.integers import quantized
from cvae_edge.c.simplify import IntegerGraph, simplify
from cvae_edge.c.source import Source
from cvae_edge.c.tflite_graph import read_graph
from cvae_edge.manifest import GOLDEN
from cvae_edge.preprocess import prepare
from cvae_edge.runtime.verify import read_golden

_CASES = 8
_OUTPUTS = 2  # as cvae_golden.h has it


def write_golden(bundle: Bundle, files: Mapping[str, bytes]) -> str:
    """Return cvae_golden.c.

    The decoder is given the first latents of stream 0, the encoder the bundle's golden images or,
    without them, noise.

    Args:
        bundle: whose files they are.
        files: int8 TFLite files by role.
    """
    source = Source()
    entries = []
    for role, content in files.items():
        graph = simplify(read_graph(f"{role}.int8.tflite", content, bundle.manifest.model))
        entries.append(_entry(source, role, graph, _inputs(bundle, role)))
    eps = noise.standard_normal(1, bundle.manifest.model.latent_dim)
    source.array("cvae_golden_noise", eps, static=False)
    lines = [
        '#include "cvae_golden.h"', "",
        *source.lines, "",
        "const cvae_golden_graph cvae_golden_graphs[] = {", *entries, "};",
        f"const int32_t cvae_golden_count = {len(entries)}, cvae_golden_cases = {_CASES};",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _inputs(bundle: Bundle, role: str) -> NDArray[np.float32]:
    manifest = bundle.manifest
    if role == "decoder":
        return noise.standard_normal(_CASES, manifest.model.latent_dim)
    if GOLDEN in manifest.files and len(x := read_golden(bundle)["x"]) >= _CASES:
        return x[:_CASES]
    return prepare(noise.uniform((_CASES, *manifest.model.image_shape)), manifest.pixels.binarize)


def _entry(source: Source, role: str, graph: IntegerGraph, values: NDArray[np.float32]) -> str:
    (name, number), *_ = graph.inputs.items()
    tensor = graph.tensors[number]
    given = quantized(values, tensor.scale, tensor.zero_point)
    results = [emulate(graph, {name: one}) for one in given]
    arrays = [source.array(f"{role}_{name}", given)]
    arrays += [
        source.array(f"{role}_{output}", np.stack([r[output] for r in results]))
        for output in graph.outputs
    ]
    missing = ["0"] * (_OUTPUTS - len(graph.outputs))
    outputs = ", ".join([*(f"&cvae_{role}_{output}" for output in graph.outputs), *missing])
    wanted = ", ".join([*arrays[1:], *missing])
    return (
        f'    {{"{role}", cvae_{role}_run, &cvae_{role}_{name}, {{{outputs}}}, '
        f"{arrays[0]}, {{{wanted}}}}},"
    )
