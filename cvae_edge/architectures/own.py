"""A pair of one's own: a function in a Python file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import keras

from cvae_edge.architectures.foreign import recognize
from cvae_edge.architectures.vae import VAE, reason
from cvae_edge.errors import ConfigError


def build_own(where: str, image_shape: tuple[int, int, int], latent_dim: int) -> VAE:
    """Call a function of (image_shape, latent_dim) that returns an untrained encoder and decoder.

    Args:
        where: FILE.py:FUNCTION.
        image_shape: height, width, channels.
        latent_dim: values of a latent.

    Raises:
        ConfigError: there is no such function, it raises, or returns something else.
    """
    file, _, name = where.rpartition(":")
    if not Path(file).is_file() or not name:
        raise ConfigError(f"--model must be FILE.py:FUNCTION, and the file there, got {where!r}")
    try:
        spec = importlib.util.spec_from_file_location("cvae_edge_own_model", file)
        module: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        pair = getattr(module, name)(image_shape, latent_dim)
    except Exception as error:  # a user's code raises anything
        raise ConfigError(
            f"{where} must return a pair of models, it raised: {_why(error)}"
        ) from error
    if not isinstance(pair, tuple | list) or not _are_models(pair):
        raise ConfigError(
            f"{where} must return an encoder and a decoder, Keras models, got {_kind(pair)}"
        )
    vae = recognize(*pair)
    if vae.image_shape != tuple(image_shape):
        raise ConfigError(f"{where} must take images of {image_shape}, got {vae.image_shape}")
    return vae


def _are_models(pair: Any) -> bool:
    return len(pair) == 2 and all(isinstance(half, keras.Model) for half in pair)


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(type(part).__name__ for part in value)})"
    return type(value).__name__


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error)}"
