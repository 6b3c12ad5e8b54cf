"""A format of our own: an .npz of a decoder's or encoder's dense layers, run by numpy.

A target and an engine are a module and an entry each; here they are one module.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from cvae_edge.errors import BundleError
from cvae_edge.manifest import Artifact, Tensor
from cvae_edge.runtime.engines import Engine

ENGINE = Engine("Toy", "toy", ("cpu",), "toy", ("numpy",), "pip install numpy")


def open_session(artifact: Artifact, content: bytes, threads: int | None, provider: str) -> Any:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            layers = {name: archive[name] for name in archive.files}
    except ValueError as error:
        raise BundleError(f"{artifact.file} cannot be opened by Toy: {error}") from error

    def run(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        (value,) = inputs.values()
        flat = value.reshape(len(value), -1)
        return {
            t.name: (flat @ layers[f"{t.name}/kernel"] + layers[f"{t.name}/bias"]).reshape(
                len(value), *t.shape[1:]
            )
            for t in artifact.outputs
        }

    return run


def emit(network: Any, precision: str, **options: Any) -> Any:
    """Write a network of one dense layer an output."""
    from cvae_edge.exporters.passes.graph import Graph
    from cvae_edge.exporters.targets import File

    graph, arrays, outputs = Graph(network), {}, []
    for name, tensor in graph.outputs.items():
        call = graph.maker(tensor)
        while not call.layer.get_weights():
            call = graph.maker(call.inputs[0])
        kernel, bias = call.layer.get_weights()
        arrays |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
        outputs.append(Tensor(name, (None, *tensor.shape[1:]), "float32"))
    content = io.BytesIO()
    np.savez(content, **arrays)
    inputs = tuple(Tensor(t.name, (None, *t.shape[1:]), "float32") for t in graph.inputs)
    return File(content.getvalue(), inputs, tuple(outputs))


def target() -> Any:
    from cvae_edge.exporters.targets import Target

    return Target("toy", ("float32",), {"float32": "transposed"}, emit)
