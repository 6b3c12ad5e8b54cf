"""What is done to pixels, described once: in training, in evaluation and on devices alike."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from cvae_edge import noise
from cvae_edge.errors import ConfigError
from cvae_edge.model_config import WHITE as WHITE
from cvae_edge.model_config import Binarize as Binarize
from cvae_edge.model_config import Fit as Fit
from cvae_edge.model_config import require, require_choice, require_colour, require_image_shape

THRESHOLD = 0.5  # binarized pixels are 1 from here on
_FIXED = {"orientation": "exif", "range": [0, 1], "frame": 0}  # rules that hold for every model


class Pixels(NamedTuple):
    """How any image becomes what a model takes.

    These rules hold for every model: the EXIF orientation is followed; values are scaled by the
    range of their type to [0, 1]; an animation gives its first frame.
    """

    image_shape: tuple[int, int, int]  # height, width, channels: grey, grey and alpha, RGB, RGBA
    fit: Fit = "stretch"  # how another size is reached
    background: str = WHITE  # under transparency, and beside an image that is padded
    binarize: Binarize = "none"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self._asdict(), "image_shape": list(self.image_shape), **_FIXED}

    @classmethod
    def parse(cls, fields: Any) -> Pixels:
        """Read JSON that nobody trusts.

        Raises:
            ConfigError: a field is missing or unknown in value.
        """
        require(isinstance(fields, dict), "pixels must be an object", type(fields).__name__)
        shape = fields.get("image_shape")
        require(isinstance(shape, list | tuple), "pixels must have an image_shape", shape)
        for name, value in _FIXED.items():
            got = fields.get(name, value)
            require(got == value, f"{name} of pixels must be {value}, as always", repr(got)[:40])
        names = ("fit", "background", "binarize")
        try:
            return cls(tuple(shape), *(fields[name] for name in names)).checked()
        except KeyError as error:
            raise ConfigError(f"pixels must have all of {names}, got none of {error}") from error

    def checked(self) -> Pixels:
        """Return self, or raise ConfigError naming the field that is out of range."""
        require_image_shape(self.image_shape)
        require_choice("fit", self.fit, get_args(Fit))
        require_choice("binarize", self.binarize, get_args(Binarize))
        require_colour("background", self.background)
        return self


def to_float(images: NDArray[Any]) -> NDArray[np.float32]:
    """Scale uint8 images to float32 in [0, 1]; float32 images pass as they are."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images


def threshold(images: NDArray[Any]) -> NDArray[np.float32]:
    """Threshold at 0.5: float32 images of 0 and 1."""
    return (to_float(images) >= THRESHOLD).astype(np.float32)


def prepare(images: NDArray[Any], binarize: Binarize) -> NDArray[np.float32]:
    """Make images into what a device feeds an encoder: float32 in [0, 1].

    Where training drew binary pixels, a device takes the likelier one.
    """
    return to_float(images) if binarize == "none" else threshold(images)


def draw_binary(
    images: NDArray[Any], binarize: Binarize, seed: int = 0, start: int = 0
) -> NDArray[np.float32]:
    """Make images into what the likelihood is taken of: float32 in [0, 1].

    ``threshold`` makes pixels 1 from 0.5 on, ``draw`` draws each from a Bernoulli distribution,
    ``none`` leaves the values. The draws are a function of ``seed`` and of each image's index,
    which counts from ``start``.
    """
    if binarize == "threshold":
        return threshold(images)
    x = to_float(images)
    return x if binarize == "none" else (noise.uniform(x.shape, seed, start) < x).astype(np.float32)
