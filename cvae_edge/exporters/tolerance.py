"""How far a right device may be from the golden outputs, by measurement.

What differs between right machines: the order of float sums (float32), whether sums of float16 are
float16 themselves, as onnxruntime's are on arm64 and not on x86-64, which way a value between two
integers goes (dynamic range, int8). What must be caught: another file's outputs, and integer sums
that saturate, which cost nats.

Two measurements scale the tolerance. The *error* against the same networks in float is what
rounding to a precision does; a device that rounds integers elsewhere moves its outputs by less.
The *spread* is the distance between the runtime's fast kernels and its plain ones on this machine:
onnxruntime without graph optimization computes QDQ graphs in float, LiteRT has kernels beside
XNNPACK's.
"""

from __future__ import annotations

import numpy as np

from cvae_edge.exporters.build import Exported
from cvae_edge.exporters.parity import ParityValueError, Reference
from cvae_edge.exporters.targets import TARGETS
from cvae_edge.runtime.verify import largest_difference

FLOOR = 1e-4
_FLOAT32_SHARE = 10.0  # float32 differs by rounding alone, which another machine may double
_FLOAT16_SHARE = 40.0  # of the largest error where sums are float32: on arm64 20 were measured
_INTEGER_SHARE = 4.0  # of the mean error of rounding: a few roundings that go the other way
_SPREAD_SHARE = 2.0
_STEPS = 1.5  # of an integer output: one step, and room for the float that it becomes
_LIMIT_STEPS = 4  # that fast and plain kernels may be apart; sums that saturate are tens apart


def measure_tolerance(exported: Exported, reference: Reference) -> dict[str, float]:
    """Return, by output, the largest difference from golden.npz that a right device shows.

    Args:
        exported: the file, with its differences from the trained model.
        reference: what it is run on.

    Raises:
        ParityValueError: fast and plain kernels of an integer file disagree by more than
            quantization itself changed.
    """
    artifact, content, graph = exported.artifact, exported.content, exported.graph
    is_integer = artifact.precision in TARGETS[artifact.format].schemes
    if artifact.precision == "float32":
        return {n: max(FLOOR, _FLOAT32_SHARE * d) for n, d in artifact.difference.items()}
    inputs = reference.inputs(artifact.role)
    open_plain = TARGETS[artifact.format].plain
    fast = graph(**inputs)
    plain = open_plain(artifact, content)(**inputs) if open_plain else fast
    outputs = {t.name: reference.output(artifact.role, t.name) for t in artifact.outputs}
    exact = exported.exact(**inputs) if exported.exact else outputs
    tolerance = {}
    for tensor in artifact.outputs:
        got = fast[tensor.name]
        # Logits are clipped on purpose, which is no error of rounding.
        wanted = np.clip(exact[tensor.name], got.min(), got.max())
        error = np.abs(got - wanted)
        spread = largest_difference(got, plain[tensor.name])
        step = exported.steps.get(tensor.name, 0.0)
        if is_integer and spread > max(float(error.max()), _LIMIT_STEPS * step):
            raise ParityValueError(
                f"{tensor.name} of {artifact.file} must not depend on the kernels, got values "
                f"{spread:.3g} apart on this processor: its integer sums saturate"
            )
        if artifact.precision == "float16":
            rounding = _FLOAT16_SHARE * float(error.max())
        else:
            rounding = _INTEGER_SHARE * float(error.mean()) if is_integer else float(error.max())
        tolerance[tensor.name] = max(FLOOR, rounding, _SPREAD_SHARE * spread, _STEPS * step)
    return tolerance
