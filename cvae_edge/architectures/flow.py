"""A learned prior: a flow between normal noise eps and latents z, as two Keras models.

A block mixes all latents linearly and then changes one half of them after the other by a scale and
a shift that the other half gives: affine couplings (Dinh, Sohl-Dickstein, Bengio 2017, "Density
estimation using Real NVP", equations 7 and 8) between invertible linear maps (Kingma and Dhariwal
2018, "Glow", section 3.2). Both directions cost the same. The network of the role ``density`` maps
z to eps and ``log |det d eps / d z|``, that of the role ``prior`` maps eps to z; the weights of the
one are made from those of the other. Both have only dense layers, products and sums, which every
engine has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.config import require
from cvae_edge.errors import RunError

BLOCKS, UNITS, LAYERS = 4, 128, 2  # blocks, and the hidden layers of each half's scale and shift
_HALVES = ("low", "high")
_SAMPLE = 1 << 33  # of the noise that first weights are made of: evaluations take the first few
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Flow:
    """Its weights, by layer of the density network and name: ``mix_0_low/kernel``."""

    weights: dict[str, NDArray[np.float32]]

    @property
    def latent_dim(self) -> int:
        """Values of a latent."""
        return len(self.weights["mix_0_low/kernel"])

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return sum(name.startswith("mix_") for name in self.weights) // 4

    @property
    def layers(self) -> int:
        """How many hidden layers a scale and a shift are made of."""
        return sum(name.startswith("high_0_hidden_") for name in self.weights) // 2

    def networks(self) -> dict[str, keras.Model]:
        """Return a network for each role of a prior."""
        return {"prior": self._prior(), "density": self.density()}

    def density(self) -> keras.Model:
        """Return z -> eps and log_det, whose weights may be trained; see ``log_determinant``."""
        with keras.name_scope("density"):
            h = z = keras.Input((self.latent_dim,), name="z")
            scales = []
            for block in range(self.blocks):
                low, high = (self._dense(f"mix_{block}_{half}")(h) for half in _HALVES)
                high, high_scale = self._couple(f"high_{block}", low, high)
                low, low_scale = self._couple(f"low_{block}", high, low)
                scales += [high_scale, low_scale]
                h = layers.Concatenate(name=f"joined_{block}")([low, high])
            eps = layers.Activation("linear", name="eps")(h)
            total = layers.Dense(
                1,
                name="log_det",
                trainable=False,
                kernel_initializer="ones",
                bias_initializer=keras.initializers.Constant(self.log_determinant()),
            )(layers.Concatenate(name="scales")(scales))
        return keras.Model({"z": z}, {"eps": eps, "log_det": total}, name="density")

    def _prior(self) -> keras.Model:
        """Return eps -> z."""
        half = self.latent_dim // 2
        with keras.name_scope("prior"):
            eps = keras.Input((self.latent_dim,), name="eps")
            low, high = eps[:, :half], eps[:, half:]
            for block in reversed(range(self.blocks)):
                low = self._uncouple(f"low_{block}", high, low)
                high = self._uncouple(f"high_{block}", low, high)
                h = layers.Concatenate(name=f"joined_{block}")([low, high])
                kernel, bias = self._unmixing(block)
                if block:
                    low, high = (
                        _dense(f"mix_{block}_{name}", kernel[:, part], bias[part])(h)
                        for name, part in zip(_HALVES, _parts(self.latent_dim), strict=True)
                    )
                else:
                    z = _dense("z", kernel, bias)(h)
        return keras.Model({"eps": eps}, {"z": z}, name="prior")

    def mixing(self, block: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a block's linear map, (latent_dim, latent_dim) and (latent_dim,)."""
        kernels, biases = (
            [self.weights[f"mix_{block}_{half}/{name}"] for half in _HALVES]
            for name in ("kernel", "bias")
        )
        return np.concatenate(kernels, axis=1), np.concatenate(biases)

    def log_determinant(self) -> float:
        """Return the logarithm of the linear maps' determinants, which no latent changes."""
        kernels = [self.mixing(block)[0].astype(np.float64) for block in range(self.blocks)]
        return float(sum(np.linalg.slogdet(kernel)[1] for kernel in kernels))

    def _unmixing(self, block: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        kernel, bias = self.mixing(block)
        inverse = np.linalg.inv(kernel.astype(np.float64))
        return inverse.astype(np.float32), (-bias @ inverse).astype(np.float32)

    def _couple(self, name: str, given: Any, value: Any) -> tuple[Any, Any]:
        """Return (value + shift) * exp(scale) and the scale, of which ``given`` alone decides."""
        hidden = self._hidden(name, given)
        shifted = layers.Add(name=f"{name}_shifted")([value, self._dense(f"{name}_shift")(hidden)])
        scale = layers.Activation("tanh", name=f"{name}_bounded")(
            self._dense(f"{name}_scale")(hidden)
        )
        factor = layers.Activation("exponential", name=f"{name}_factor")(scale)
        return layers.Multiply(name=f"{name}_scaled")([shifted, factor]), scale

    def _uncouple(self, name: str, given: Any, value: Any) -> Any:
        """Undo ``_couple``: value * exp(-scale) - shift; tanh is odd, so kernels take the signs."""
        hidden = self._hidden(name, given)
        scale = layers.Activation("tanh", name=f"{name}_bounded")(
            self._dense(f"{name}_scale", sign=-1)(hidden)
        )
        factor = layers.Activation("exponential", name=f"{name}_factor")(scale)
        scaled = layers.Multiply(name=f"{name}_scaled")([value, factor])
        return layers.Add(name=f"{name}_shifted")(
            [scaled, self._dense(f"{name}_shift", sign=-1)(hidden)]
        )

    def _hidden(self, name: str, given: Any) -> Any:
        for i in range(self.layers):
            given = self._dense(f"{name}_hidden_{i}", "relu")(given)
        return given

    def _dense(self, name: str, activation: str | None = None, sign: int = 1) -> Any:
        kernel, bias = (self.weights[f"{name}/{part}"] for part in ("kernel", "bias"))
        return _dense(name, sign * kernel, sign * bias, activation)


def new_flow(
    latent_dim: int, seed: int, blocks: int = BLOCKS, units: int = UNITS, hidden: int = LAYERS
) -> Flow:
    """Return a flow that only rotates, so that its density is the standard normal's.

    Raises:
        ConfigError: there is one latent, which has no halves.
    """
    require(latent_dim >= 2, "a learned prior takes at least 2 latents", latent_dim)
    low, high = _parts(latent_dim)
    sizes = {"low": low.stop, "high": latent_dim - low.stop}
    drawn = count(_SAMPLE)
    weights: dict[str, NDArray[np.float32]] = {}

    def draw(rows: int, columns: int) -> NDArray[np.float32]:
        return noise.standard_normal(rows, columns, seed, 0, next(drawn))

    def put(name: str, kernel: NDArray[Any]) -> None:
        weights[f"{name}/kernel"] = kernel.astype(np.float32)
        weights[f"{name}/bias"] = np.zeros(kernel.shape[1], np.float32)

    for block in range(blocks):
        rotation, _ = np.linalg.qr(draw(latent_dim, latent_dim).astype(np.float64))
        put(f"mix_{block}_low", rotation[:, low])
        put(f"mix_{block}_high", rotation[:, high])
        for half, given in (("high", sizes["low"]), ("low", sizes["high"])):
            for i in range(hidden):  # He et al. 2015
                put(f"{half}_{block}_hidden_{i}", draw(given, units) * np.sqrt(2 / given))
                given = units
            put(f"{half}_{block}_shift", np.zeros((units, sizes[half])))
            put(f"{half}_{block}_scale", np.zeros((units, sizes[half])))
    return Flow(weights)


def parse_flow(weights: Weights, latent_dim: int) -> Flow:
    """Return the flow of weights that were kept.

    Raises:
        RunError: they are not a flow's over so many latents, or not finite.
    """
    kernel = weights.get("high_0_hidden_0/kernel", np.zeros((0, 0)))
    expected = {}
    if latent_dim >= 2 and kernel.ndim == 2:
        given = Flow(dict(weights))
        expected = new_flow(latent_dim, 0, given.blocks, kernel.shape[1], given.layers).weights
    differing = [
        name
        for name in expected | dict(weights)
        if name not in expected
        or name not in weights
        or weights[name].shape != expected[name].shape
        or not np.isfinite(weights[name]).all()
    ]
    if differing or not expected:
        raise RunError(
            f"a prior must have a flow's weights, others in {', '.join(differing[:4]) or 'all'}"
        )
    return Flow({name: np.asarray(value, np.float32) for name, value in weights.items()})


def _parts(latent_dim: int) -> tuple[slice, slice]:
    half = latent_dim // 2
    return slice(0, half), slice(half, latent_dim)


def _dense(
    name: str, kernel: NDArray[np.float32], bias: NDArray[np.float32], activation: str | None = None
) -> Any:
    return layers.Dense(
        kernel.shape[1],
        activation=activation,
        name=name,
        kernel_initializer=keras.initializers.Constant(np.ascontiguousarray(kernel)),
        bias_initializer=keras.initializers.Constant(np.ascontiguousarray(bias)),
    )
