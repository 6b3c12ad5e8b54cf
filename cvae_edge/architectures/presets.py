"""The presets by name: for which images each is, and its sizes by default. Stdlib only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

from cvae_edge.errors import ConfigError
from cvae_edge.model_config import is_int, require

if TYPE_CHECKING:
    from cvae_edge.architectures.vae import VAE

ImageShape = tuple[int, int, int]


class Preset(NamedTuple):
    """One architecture at every size that it can have."""

    module: str  # its build(image_shape, latent_dim, width, seed) makes the VAE
    sides: range  # heights and widths that it takes
    latent_dim: int
    small_latent_dim: int  # of grey images below 32x32 pixels


PRESETS: dict[str, Preset] = {
    "seed": Preset("cvae_edge.architectures.seed", range(8, 513, 4), 50, 50),
    "general": Preset("cvae_edge.architectures.general", range(8, 513), 128, 64),
}


def find_preset(name: str) -> Preset:
    """Return a preset by its name; ConfigError where there is none."""
    if name not in PRESETS:
        raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def default_preset(image_shape: ImageShape) -> str:
    """Return the name of the preset for these images (height, width, channels)."""
    return "seed" if image_shape == (28, 28, 1) else "general"


def default_latent_dim(name: str, image_shape: ImageShape) -> int:
    """Return a preset's number of latent variables for these images."""
    preset = find_preset(name)
    height, width, channels = image_shape
    small = channels == 1 and height * width < 32 * 32
    return preset.small_latent_dim if small else preset.latent_dim


def check_preset(name: str, image_shape: ImageShape, latent_dim: int, width: float) -> None:
    """Check that a preset can have these sizes.

    Raises:
        ConfigError: there is no such preset, or a size lies outside what it takes.
    """
    sides = find_preset(name).sides
    require(
        all(side in sides for side in image_shape[:2]),
        f"preset {name} takes images of a height and width from {sides[0]} to {sides[-1]} pixels"
        + (f" that are multiples of {sides.step}" if sides.step > 1 else ""),
        f"{image_shape[0]}x{image_shape[1]}",
    )
    require(image_shape[2] in range(1, 5), "images must have 1 to 4 channels", image_shape[2])
    require(
        is_int(latent_dim, 1) and latent_dim <= 65536, "latent_dim must be 1 to 65536", latent_dim
    )
    require(
        isinstance(width, int | float) and 0 < width <= 16,
        "width must be above 0 and at most 16",
        width,
    )


def make_preset(
    name: str,
    image_shape: ImageShape,
    latent_dim: int | None = None,
    width: float = 1.0,
    seed: int = 0,
) -> VAE:
    """Build a preset's models.

    Args:
        name: one of ``PRESETS``.
        image_shape: height, width, channels.
        latent_dim: None takes the preset's own.
        width: factor on every number of channels inside the models.
        seed: of the initial weights.

    Raises:
        ConfigError: there is no such preset, or a size lies outside what it takes.
    """
    latent_dim = default_latent_dim(name, image_shape) if latent_dim is None else latent_dim
    check_preset(name, image_shape, latent_dim, width)
    build = importlib.import_module(PRESETS[name].module).build
    vae: VAE = build(image_shape, latent_dim, width, seed)
    return vae
