"""What defines a training: frozen dataclasses, and recipes. Stdlib only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cvae_edge.model_config import (
    PRIORS,
    WHITE,
    Binarize,
    Fit,
    Record,
    is_int,
    require_choice,
    require_colour,
    require_image_shape,
)
from cvae_edge.model_config import require as require

KL = Literal["sample", "analytic"]
OWN, IMPORTED = "own", "imported"  # in a preset's place: a pair of one's own, or trained elsewhere


@dataclass(frozen=True)
class ModelConfig(Record):
    """The two networks."""

    preset: str = "seed"  # of architectures.PRESETS, or OWN or IMPORTED
    image_shape: tuple[int, int, int] = (28, 28, 1)  # height, width, channels
    latent_dim: int = 50
    width: float = 1.0  # times the preset's channels

    def __post_init__(self) -> None:
        require_image_shape(self.image_shape)
        latent_dim = self.latent_dim
        require(is_int(latent_dim, 1), "latent_dim must be an integer of at least 1", latent_dim)
        require(0 < self.width < 64, "width must be above 0 and below 64", self.width)


@dataclass(frozen=True)
class DataConfig(Record):
    """Where images come from and what is done to them."""

    source: str = "mnist"  # mnist, keras:NAME, or the path of a folder or .npz file
    image_size: tuple[int, int] | None = None  # height, width; None keeps the images' own
    channels: int | None = None  # 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha
    validation: int | None = None  # images held out of train; None: the smaller of 5,000 and 10%
    binarize: Binarize | None = None  # None: threshold for binary images, else none
    fit: Fit = "stretch"  # how image_size is reached
    background: str = WHITE  # under transparency, and beside what is padded

    def __post_init__(self) -> None:
        if self.channels is not None:
            fits = is_int(self.channels, 1) and self.channels <= 4
            require(fits, "images must have 1 to 4 channels", self.channels)
        if self.image_size is not None:
            sizes = tuple(self.image_size)
            fits = len(sizes) == 2 and all(is_int(s, 1) for s in sizes)
            require(fits, "image_size must be a height and a width of at least 1", sizes)
        if self.validation is not None:
            require(is_int(self.validation, 0), "validation must be 0 or more", self.validation)
        if self.binarize is not None:
            require_choice("binarize", self.binarize, get_args(Binarize))
        require_choice("fit", self.fit, get_args(Fit))
        require_colour("background", self.background)


@dataclass(frozen=True)
class TrainConfig(Record):
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
    likelihood: str = "bernoulli"  # of likelihoods.LIKELIHOODS
    paste: float = 0.0  # share of images that an encoder sees with a part of them pasted elsewhere
    clip_norm: float | None = None  # the largest norm of a gradient, all weights together
    prior: str = "standard"  # of PRIORS: normal, or a flow that is fitted when training has ended

    def __post_init__(self) -> None:
        require(is_int(self.epochs, 1), "epochs must be at least 1", self.epochs)
        require(is_int(self.batch_size, 1), "batch_size must be at least 1", self.batch_size)
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
        require(0 <= self.paste <= 1, "paste must be in [0, 1]", self.paste)
        clip_norm = self.clip_norm
        require(clip_norm is None or clip_norm > 0, "clip_norm must be above 0", clip_norm)
        require_choice("prior", self.prior, PRIORS)
        require(is_int(self.seed, 0) and self.seed < 2**63, "seed must be in [0, 2^63)", self.seed)


RECIPES: dict[str, TrainConfig] = {
    "seed": TrainConfig(prior="flow"),
    "fast": TrainConfig(
        epochs=15,
        batch_size=25,
        learning_rate=4e-3,
        warmup_epochs=0.5,
        final_rate=0.02,
        average_epochs=5 / 11,  # 1,000 steps on 55,000 images
        prior="flow",
    ),
    "general": TrainConfig(
        epochs=30,
        batch_size=32,
        learning_rate=1e-3,
        warmup_epochs=1.5,
        final_rate=0.02,
        average_epochs=0.5,
        clip_norm=1000.0,
        prior="flow",
    ),
}
