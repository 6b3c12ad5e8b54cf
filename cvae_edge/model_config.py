"""What defines a model, and how configurations are checked. Stdlib only.

Apart from ``config``, because this is all of it that a device needs, and every dataclass costs its
start a millisecond.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

from cvae_edge.errors import ConfigError

Binarize = Literal["static", "dynamic", "none"]


def require(condition: bool, rule: str, got: object) -> None:
    """Raise ConfigError with the rule and what was got instead, unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{rule}, got {got}")


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
    """Whether ``value`` is a whole number, ``low`` or more; bool is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


@dataclass(frozen=True)
class ModelConfig(Record):
    """The two networks' sizes."""

    image_shape: tuple[int, int, int] = (28, 28, 1)  # height, width, channels
    latent_dim: int = 50
    encoder_filters: tuple[int, int] = (32, 64)  # 3x3 convolutions, stride 2
    decoder_base: int = 32  # channels of the dense layer's h/4 x w/4 grid
    decoder_filters: tuple[int, int] = (64, 32)  # 3x3 transposed convolutions, stride 2

    def __post_init__(self) -> None:
        shape = self.image_shape
        require(
            isinstance(shape, tuple) and len(shape) == 3 and all(is_int(s, 1) for s in shape),
            "image_shape must be three positive integers (height, width, channels)",
            shape,
        )
        require(
            all(s >= 8 and s % 4 == 0 for s in shape[:2]),
            "image height and width must be multiples of 4 and at least 8",
            f"{shape[0]}x{shape[1]}",
        )
        require(shape[2] in (1, 3), "images must have 1 or 3 channels", shape[2])
        require(
            is_int(self.latent_dim, 1),
            "latent_dim must be an integer of at least 1",
            self.latent_dim,
        )
        for name in ("encoder_filters", "decoder_filters"):
            widths = getattr(self, name)
            require(
                isinstance(widths, tuple)
                and len(widths) == 2
                and all(is_int(w, 1) for w in widths),
                f"{name} must be two positive integers",
                widths,
            )
        require(is_int(self.decoder_base, 1), "decoder_base must be at least 1", self.decoder_base)

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the decoder's first grid."""
        return self.image_shape[0] // 4, self.image_shape[1] // 4, self.decoder_base
