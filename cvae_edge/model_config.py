"""What a device knows of a model, and how configurations are checked. Stdlib only."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal, NamedTuple, Self

from cvae_edge.errors import ConfigError

MAX_SIDE = 4096  # pixels; what asks for more is damaged or hostile
MAX_LATENT_DIM = 1 << 16


Binarize = Literal["none", "threshold", "draw"]
Fit = Literal["stretch", "crop", "pad"]
WHITE = "#ffffff"
PRIORS = ("flow", "standard")  # a learned one, or the standard normal


def require(condition: bool, rule: str, got: object) -> None:
    """Raise ConfigError with the rule and what was got instead, unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{rule}, got {got}")


def require_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raise ConfigError unless ``value`` is one of ``known``."""
    require(
        isinstance(value, str) and value in known,
        f"{name} must be one of {', '.join(known)}",
        repr(value)[:40],
    )


def require_colour(name: str, value: object) -> None:
    """Raise ConfigError unless ``value`` is a colour as on web pages."""
    fits = isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value) is not None
    require(fits, f"{name} must be a colour such as #ffffff", repr(value)[:40])


class Record:
    """Dictionaries in and out, for JSON; the base of configurations."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls, fields: Any) -> Self:
        """Build the record from JSON values; ConfigError where names or values do not fit."""
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        require(
            isinstance(fields, dict), f"{cls.__name__} must be an object", type(fields).__name__
        )
        unknown = sorted(set(fields) - known)
        require(not unknown, f"{cls.__name__} has the fields {sorted(known)}", unknown)
        try:
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"{cls.__name__} cannot be read: {error}") from error


def is_int(value: object, low: int) -> bool:
    """Whether ``value`` is a whole number of at least ``low``; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


class ModelShape(NamedTuple):
    """What a device knows of a model."""

    image_shape: tuple[int, int, int]  # height, width, channels
    latent_dim: int

    @classmethod
    def parse(cls, fields: Any) -> ModelShape:
        """Read JSON that nobody trusts; fields of other names are ignored.

        Raises:
            ConfigError: a size is missing, no whole number, or out of range.
        """
        require(isinstance(fields, dict), "the model must be an object", type(fields).__name__)
        shape, latent_dim = fields.get("image_shape"), fields.get("latent_dim")
        require_image_shape(tuple(shape) if isinstance(shape, list | tuple) else shape)
        require(
            is_int(latent_dim, 1) and latent_dim <= MAX_LATENT_DIM,
            f"latent_dim must be an integer of 1 to {MAX_LATENT_DIM}",
            str(latent_dim)[:40],
        )
        height, width, channels = shape
        return cls((height, width, channels), latent_dim)


def require_image_shape(shape: Any) -> None:
    """Raise ConfigError unless ``shape`` is a height, a width and 1 to 4 channels."""
    require(
        isinstance(shape, tuple)
        and len(shape) == 3
        and all(is_int(s, 1) and s <= MAX_SIDE for s in shape)
        and shape[2] <= 4,
        f"image_shape must be height and width of 1 to {MAX_SIDE} and 1 to 4 channels",
        str(shape)[:80],
    )
