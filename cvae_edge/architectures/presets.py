"""Presets: named architectures, as data in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cvae_edge.architectures import general, seed
from cvae_edge.architectures.vae import VAE
from cvae_edge.config import ModelConfig
from cvae_edge.model_config import require_choice

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Preset:
    """How a pair is built, and with what where the user leaves it open."""

    build: Callable[[Shape, int, float, int], VAE]  # image shape, latent_dim, width, seed
    latent_dim: int
    recipe: str


PRESETS = {
    "seed": Preset(seed.build, seed.LATENT_DIM, "fast"),
    "general": Preset(general.build, general.LATENT_DIM, "general"),
}


def default_preset(image_shape: Shape) -> str:
    """Return the preset for images of a shape: the tutorial's for its own, else the general one."""
    return "seed" if image_shape == (28, 28, 1) else "general"


def build_preset(config: ModelConfig, seed: int = 0) -> VAE:
    """Build the pair that ``config`` names, with weights from ``seed``.

    Raises:
        ConfigError: no preset of that name, or one that does not take images of that shape.
    """
    require_choice("preset", config.preset, tuple(PRESETS))
    preset = PRESETS[config.preset]
    return preset.build(config.image_shape, config.latent_dim, config.width, seed)
