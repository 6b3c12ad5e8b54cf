"""Is an exported file the trained model? First names, then shapes, then values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.codec import Codec, Graph
from cvae_edge.elbo import Array, reparameterize
from cvae_edge.errors import ParityError
from cvae_edge.manifest import Artifact
from cvae_edge.preprocess import Binarize, draw_binary
from cvae_edge.sigmoid import sigmoid

IMAGES = 256  # compared after each export
NAMES = {
    "encoder": (("x",), ("mean", "logvar")),
    "decoder": (("z",), ("x_logits",)),
    "reconstruct": (("x", "eps"), ("x_recon",)),
    "prior": (("eps",), ("z",)),
    "density": (("z",), ("eps", "log_det")),
}
FLOAT32_LIMIT = 1e-4  # largest difference that reordered float32 sums may make


class ParityNameError(ParityError):
    """An exported file names its tensors otherwise than the bundle's format does."""


class ParityShapeError(ParityError):
    """An exported file gives tensors of another shape than the trained model."""


class ParityValueError(ParityError):
    """An exported file gives other values than the trained model."""


@dataclass(frozen=True)
class Reference:
    """Tensors by name, as the trained model takes and gives them, on some images."""

    tensors: Mapping[str, Array]  # x, eps, z, mean, logvar, x_logits, x_recon; and what the roles
    # of a prior give, by ROLE/NAME, as eps and z are another's as well

    def take(self, n: int) -> Reference:
        """Return the first ``n`` images' tensors."""
        return Reference({name: value[:n] for name, value in self.tensors.items()})

    def output(self, role: str, name: str) -> Array:
        """Return what a graph of this role gives."""
        own = f"{role}/{name}"
        return self.tensors[own if own in self.tensors else name]

    def inputs(self, role: str) -> dict[str, Array]:
        """Return what a graph of this role takes."""
        return {name: self.tensors[name] for name in NAMES[role][0]}


@dataclass(frozen=True)
class Difference:
    """Of one output from the trained model's: absolute, over every value."""

    largest: float
    mean: float


def make_reference(codec: Codec, images: NDArray[Any], binarize: Binarize) -> Reference:
    """Run the trained model on ``images``, with noise of stream 0."""
    x = draw_binary(images, binarize, 0)
    mean, logvar = codec.encode(x)
    eps = noise.standard_normal(len(x), mean.shape[1])
    z = reparameterize(mean, logvar, eps)
    x_logits = codec.decode(z)
    x_recon = sigmoid(x_logits.copy())
    tensors = {"x": x, "eps": eps, "z": z, "mean": mean, "logvar": logvar}
    for role, graph in (("prior", codec.prior), ("density", codec.density)):
        given = graph(**{name: tensors[name] for name in NAMES[role][0]}) if graph else {}
        tensors |= {f"{role}/{name}": value for name, value in given.items()}
    return Reference({**tensors, "x_logits": x_logits, "x_recon": x_recon})


def check_parity(artifact: Artifact, graph: Graph, reference: Reference) -> dict[str, Difference]:
    """Compare a file with the trained model and return how far each output is off.

    Raises:
        ParityNameError: its tensors have other names.
        ParityShapeError: an output has another shape, at batch 1 or at the reference's.
        ParityValueError: an output is not finite or, in float32, off by more than 1e-4.
    """
    inputs, outputs = NAMES[artifact.role]
    got = tuple(t.name for t in artifact.inputs), tuple(t.name for t in artifact.outputs)
    if (set(got[0]), set(got[1])) != (set(inputs), set(outputs)):
        raise ParityNameError(
            f"{artifact.file} must map {', '.join(inputs)} to {', '.join(outputs)}, "
            f"got {', '.join(got[0])} to {', '.join(got[1])}"
        )
    results = {}
    for part in (reference.take(1), reference):
        results = graph(**part.inputs(artifact.role))
        for name in outputs:
            wanted = part.output(artifact.role, name).shape
            if results[name].shape != wanted:
                raise ParityShapeError(
                    f"{name} of {artifact.file} must have the shape {wanted}, "
                    f"got {results[name].shape}"
                )
    return {name: _compare(artifact, name, results[name], reference) for name in outputs}


def _compare(artifact: Artifact, name: str, value: Array, reference: Reference) -> Difference:
    distance = np.abs(value - reference.output(artifact.role, name))
    largest = float(distance.max())  # NaN if any is
    if not np.isfinite(largest):
        raise ParityValueError(f"{name} of {artifact.file} must be finite, got NaN or infinity")
    if artifact.precision == "float32" and largest > FLOAT32_LIMIT:
        raise ParityValueError(
            f"{name} of {artifact.file} must be within {FLOAT32_LIMIT:g} of the trained model's, "
            f"got a difference of {largest:.3g}"
        )
    return Difference(largest, float(distance.mean()))
