"""How far a right device may be from the golden outputs, by measurement.

What differs between right machines: the order of float sums (float32), where float16 is rounded,
which way a value between two integers goes (dynamic range, int8). What must be caught: another
file's outputs, and integer sums that saturate, which cost nats.

Two measurements scale the tolerance. The *error* against the trained model is what rounding to a
precision does; a device that rounds elsewhere moves its outputs by less than that. The *spread* is
the distance between the runtime's fast kernels and its plain ones on this machine: onnxruntime
without graph optimization computes QDQ graphs in float, LiteRT has kernels beside XNNPACK's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from cvae_edge.elbo import Array
from cvae_edge.exporters.build import Exported
from cvae_edge.exporters.parity import ParityValueError, Reference
from cvae_edge.manifest import Artifact, Tensor
from cvae_edge.quiet import quiet
from cvae_edge.runtime.verify import largest_difference

FLOOR = 1e-4
_FLOAT32_SHARE = 10.0  # float32 differs by rounding alone, which another machine may double
_INT8_SHARE = 4.0  # of the mean error of rounding to int8: a few roundings that go the other way
_SPREAD_SHARE = 2.0
_STEPS = 1.5  # of an integer output: one step, and room for the float that it becomes


def measure_tolerance(exported: Exported, reference: Reference) -> dict[str, float]:
    """Return, by output, the largest difference from golden.npz that a right device shows.

    Args:
        exported: the file, with its differences from the trained model.
        reference: what it is run on.

    Raises:
        ParityValueError: an int8 file's fast and plain kernels disagree by more than quantization
            itself changed.
    """
    artifact, content, graph = exported.artifact, exported.content, exported.graph
    if artifact.precision == "float32":
        return {n: max(FLOOR, _FLOAT32_SHARE * d) for n, d in artifact.difference.items()}
    inputs = reference.inputs(artifact.role)
    fast, plain = graph(**inputs), _plain_outputs(artifact, content, inputs)
    tolerance = {}
    for tensor in artifact.outputs:
        got = fast[tensor.name]
        # Logits are clipped on purpose, which is no error of rounding.
        wanted = np.clip(reference.tensors[tensor.name], got.min(), got.max())
        error = np.abs(got - wanted)
        spread = largest_difference(got, plain[tensor.name])
        step = exported.steps.get(tensor.name, 0.0)
        if artifact.precision == "int8" and spread > max(float(error.max()), 2 * step):
            raise ParityValueError(
                f"{tensor.name} of {artifact.file} must not depend on the kernels, got values "
                f"{spread:.3g} apart on this processor: its integer sums saturate"
            )
        if artifact.precision == "int8":
            rounding = _INT8_SHARE * float(error.mean())
        else:
            rounding = float(error.max())
        tolerance[tensor.name] = max(FLOOR, rounding, _SPREAD_SHARE * spread, _STEPS * step)
    return tolerance


def _plain_outputs(
    artifact: Artifact, content: bytes, inputs: dict[str, Array]
) -> dict[str, Array]:
    """Run the file on its runtime's plain kernels."""
    if artifact.format == "tflite":
        return _litert_plain(artifact, content, inputs)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [t.name for t in artifact.outputs]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _litert_plain(artifact: Artifact, content: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
    n = len(next(iter(inputs.values())))
    with quiet():
        interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        runner = interpreter.get_signature_runner()
    results: list[dict[str, Array]] = []
    for i in range(n):
        one = {t.name: _to_integers(inputs[t.name][i : i + 1], t) for t in artifact.inputs}
        outputs = runner(**one)
        results.append({t.name: _to_floats(outputs[t.name], t) for t in artifact.outputs})
    return {t.name: np.concatenate([r[t.name] for r in results]) for t in artifact.outputs}


def _to_integers(x: Array, tensor: Tensor) -> NDArray[Any]:
    if tensor.scale is None or tensor.zero_point is None:
        return x
    limits = np.iinfo(tensor.dtype)
    rounded = np.rint(x / tensor.scale) + tensor.zero_point
    integers: NDArray[Any] = np.clip(rounded, limits.min, limits.max).astype(tensor.dtype)
    return integers


def _to_floats(y: NDArray[Any], tensor: Tensor) -> Array:
    if tensor.scale is None or tensor.zero_point is None:
        return y.astype(np.float32)
    floats: Array = np.float32(tensor.scale) * (y.astype(np.float32) - tensor.zero_point)
    return floats
