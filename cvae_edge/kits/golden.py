"""Golden values for a device's self-test: computed in numpy, not by the code that is tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.bundle import Bundle
from cvae_edge.c.emulate import emulate
from cvae_edge.c.emulate_floats import emulate_floats
from cvae_edge.c.integers import quantized
from cvae_edge.c.model import file_of
from cvae_edge.c.simplify import IntegerGraph, simplify
from cvae_edge.c.source import Source
from cvae_edge.c.tflite_graph import TFLiteGraph, read_graph
from cvae_edge.manifest import GOLDEN, PRIOR_ROLES
from cvae_edge.preprocess import prepare
from cvae_edge.runtime.verify import read_golden

_CASES = 8
_OUTPUTS = 2  # as cvae_golden.h has it


def write_golden(bundle: Bundle, files: Mapping[str, bytes]) -> str:
    """Return cvae_golden.c.

    The decoder is given the first latents of stream 0, the encoder the bundle's golden images or,
    without them, noise. A learned prior and its density are given the same latents.

    Args:
        bundle: whose files they are.
        files: TFLite files by role, as ``write_c`` takes them.
    """
    source = Source()
    entries, priors = [], []
    for role, content in files.items():
        graph = read_graph(file_of(role), content, bundle.manifest.model)
        values = _inputs(bundle, role)
        if role in PRIOR_ROLES:
            priors.append(_prior_entry(source, role, graph, values))
        else:
            entries.append(_entry(source, role, simplify(graph), values))
    eps = noise.standard_normal(1, bundle.manifest.model.latent_dim)
    source.array("cvae_golden_noise", eps, static=False)
    lines = [
        '#include "cvae_golden.h"', "",
        *source.lines, "",
        "const cvae_golden_graph cvae_golden_graphs[] = {", *entries, "};",
        "const cvae_golden_floats cvae_golden_priors[] = {", *priors, "    {0}", "};",
        f"const int32_t cvae_golden_count = {len(entries)}, cvae_golden_cases = {_CASES};",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _inputs(bundle: Bundle, role: str) -> NDArray[np.float32]:
    manifest = bundle.manifest
    if role != "encoder":
        return noise.standard_normal(_CASES, manifest.model.latent_dim)
    if GOLDEN in manifest.files and len(x := read_golden(bundle)["x"]) >= _CASES:
        return x[:_CASES]
    return prepare(noise.uniform((_CASES, *manifest.model.image_shape)), manifest.pixels.binarize)


def _entry(source: Source, role: str, graph: IntegerGraph, values: NDArray[np.float32]) -> str:
    (name, number), *_ = graph.inputs.items()
    tensor = graph.tensors[number]
    given = quantized(values, tensor.scale, tensor.zero_point)
    results = [emulate(graph, {name: one}) for one in given]
    wanted = {output: np.stack([r[output] for r in results]) for output in graph.outputs}
    return _fields(source, role, name, given, wanted)


def _prior_entry(source: Source, role: str, graph: TFLiteGraph, values: NDArray[np.float32]) -> str:
    (name,) = graph.inputs
    return _fields(source, role, name, values, emulate_floats(graph, {name: values}))


def _fields(
    source: Source, role: str, name: str, given: NDArray[Any], results: Mapping[str, NDArray[Any]]
) -> str:
    arrays = [source.array(f"{role}_{n}", v) for n, v in {name: given, **results}.items()]
    missing = ["0"] * (_OUTPUTS - len(results))
    outputs = ", ".join([*(f"&cvae_{role}_{output}" for output in results), *missing])
    wanted = ", ".join([*arrays[1:], *missing])
    return (
        f'    {{"{role}", cvae_{role}_run, &cvae_{role}_{name}, {{{outputs}}}, '
        f"{arrays[0]}, {{{wanted}}}}},"
    )
