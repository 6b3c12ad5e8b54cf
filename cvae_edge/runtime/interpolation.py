"""Ways between two latents."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cvae_edge.elbo import Array
from cvae_edge.model_config import require

Path = Literal["spherical", "linear"]
_PARALLEL = 1e-4  # angle in radians below which an arc and a chord are the same in float32


def interpolate_latents(z_a: Array, z_b: Array, steps: int, path: Path = "spherical") -> Array:
    """Return ``steps`` latents from z_a to z_b, ends included.

    Spherical: sin((1 - t) w) / sin(w) z_a + sin(t w) / sin(w) z_b, with w the angle between the two
    (Shoemake 1985, after White 2016, arXiv:1609.04468). A normal distribution's draws lie near a
    sphere, so an arc stays among latents the decoder knows where a chord cuts through its middle.

    Args:
        z_a: (n, latent_dim).
        z_b: the same shape.
        steps: 2 or more.
        path: spherical or linear.

    Returns:
        float32 of shape (n, steps, latent_dim).

    Raises:
        ConfigError: steps below 2, an unknown path, or latents of different shapes.
    """
    require(steps >= 2, "steps must be at least 2, the two ends", steps)
    require(path in get_args(Path), f"path must be one of {', '.join(get_args(Path))}", repr(path))
    require(z_a.shape == z_b.shape, f"z_b must have z_a's shape {z_a.shape}", z_b.shape)
    t = np.linspace(0.0, 1.0, steps)[:, np.newaxis]  # (steps, 1)
    a, b = (z.astype(np.float64)[:, np.newaxis] for z in (z_a, z_b))  # (n, 1, latent_dim)
    weight_a, weight_b = 1.0 - t, t
    if path == "spherical":
        angle = _angle(a, b)  # (n, 1, 1)
        # An arc between parallel latents is a chord, and between opposite ones not defined.
        curved = (angle > _PARALLEL) & (angle < np.pi - _PARALLEL)
        sine = np.where(curved, np.sin(angle), 1.0)
        weight_a = np.where(curved, np.sin((1.0 - t) * angle) / sine, weight_a)
        weight_b = np.where(curved, np.sin(t * angle) / sine, weight_b)
    return (weight_a * a + weight_b * b).astype(np.float32)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    products = (a * b).sum(axis=-1, keepdims=True)
    # A latent of zeros has no direction: cos 1 makes it parallel, so the way is a chord.
    cosine = np.divide(products, lengths, out=np.ones_like(products), where=lengths > 0)
    angle: NDArray[np.float64] = np.arccos(np.clip(cosine, -1.0, 1.0))
    return angle
