"""What defines a model and a training: frozen dataclasses, presets and recipes. Stdlib only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

from cvae_edge.errors import ConfigError

Binarize = Literal["static", "dynamic", "none"]
KL = Literal["sample", "analytic"]


def require(condition: bool, rule: str, got: object) -> None:
    """Raise ConfigError with the rule and what was got instead, unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{rule}, got {got}")


class _Record:
    """Dictionaries in and out, for JSON."""

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


def _is_int(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


@dataclass(frozen=True)
class ModelConfig(_Record):
    """The two networks' sizes."""

    image_shape: tuple[int, int, int] = (28, 28, 1)  # height, width, channels
    latent_dim: int = 50
    encoder_filters: tuple[int, int] = (32, 64)  # 3x3 convolutions, stride 2
    decoder_base: int = 32  # channels of the dense layer's h/4 x w/4 grid
    decoder_filters: tuple[int, int] = (64, 32)  # 3x3 transposed convolutions, stride 2

    def __post_init__(self) -> None:
        shape = self.image_shape
        require(
            isinstance(shape, tuple) and len(shape) == 3 and all(_is_int(s, 1) for s in shape),
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
            _is_int(self.latent_dim, 1),
            "latent_dim must be an integer of at least 1",
            self.latent_dim,
        )
        for name in ("encoder_filters", "decoder_filters"):
            widths = getattr(self, name)
            require(
                isinstance(widths, tuple)
                and len(widths) == 2
                and all(_is_int(w, 1) for w in widths),
                f"{name} must be two positive integers",
                widths,
            )
        require(_is_int(self.decoder_base, 1), "decoder_base must be at least 1", self.decoder_base)

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the decoder's first grid."""
        return self.image_shape[0] // 4, self.image_shape[1] // 4, self.decoder_base


PRESETS: dict[str, ModelConfig] = {"seed": ModelConfig()}


@dataclass(frozen=True)
class DataConfig(_Record):
    """Where images come from and what is done to them."""

    source: str = "mnist"  # mnist, keras:NAME, or the path of a folder or .npz file
    image_size: tuple[int, int] | None = None  # height, width; only image folders are resized
    channels: int | None = None  # 1 or 3; only image folders are converted
    validation: int | None = None  # images held out of train; None: the smaller of 5,000 and 10%
    binarize: Binarize | None = None  # None: static for mnist, else dynamic

    def __post_init__(self) -> None:
        if self.channels is not None:
            require(self.channels in (1, 3), "images must have 1 or 3 channels", self.channels)
        if self.validation is not None:
            require(_is_int(self.validation, 0), "validation must be 0 or more", self.validation)
        require(
            self.binarize in (None, "static", "dynamic", "none"),
            "binarize must be static, dynamic or none",
            repr(self.binarize),
        )


@dataclass(frozen=True)
class TrainConfig(_Record):
    """How the weights are found. The learning rate rises linearly over the warm-up and then
    falls along a half cosine to ``final_rate`` of its peak."""

    epochs: int = 100
    batch_size: int = 100  # over all replicas
    learning_rate: float = 1e-4  # Adam's, at its peak
    warmup_epochs: float = 0.0
    final_rate: float = 1.0  # 1 keeps the rate constant
    average_epochs: float = 0.0  # reach of the weights' moving average, which is what is validated
    # and kept; 0 keeps the weights themselves
    kl: KL = "sample"  # the seed's single-sample estimate, or the closed form
    beta: float = 1.0  # weight of the KL term
    seed: int = 0

    def __post_init__(self) -> None:
        require(_is_int(self.epochs, 1), "epochs must be at least 1", self.epochs)
        require(_is_int(self.batch_size, 1), "batch_size must be at least 1", self.batch_size)
        require(
            0 < self.learning_rate < float("inf"),
            "learning_rate must be above 0",
            self.learning_rate,
        )
        require(self.warmup_epochs >= 0, "warmup_epochs must be 0 or more", self.warmup_epochs)
        require(0 < self.final_rate <= 1, "final_rate must be in (0, 1]", self.final_rate)
        require(self.average_epochs >= 0, "average_epochs must be 0 or more", self.average_epochs)
        require(self.kl in ("sample", "analytic"), "kl must be sample or analytic", repr(self.kl))
        require(0 <= self.beta < float("inf"), "beta must be 0 or more", self.beta)
        require(_is_int(self.seed, 0) and self.seed < 2**63, "seed must be in [0, 2^63)", self.seed)


RECIPES: dict[str, TrainConfig] = {
    "seed": TrainConfig(),
    "fast": TrainConfig(
        epochs=15,
        batch_size=25,
        learning_rate=4e-3,
        warmup_epochs=0.5,
        final_rate=0.02,
        average_epochs=5 / 11,  # 1,000 steps on 55,000 images
    ),
}
