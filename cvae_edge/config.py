"""What defines a training: frozen dataclasses, presets and recipes. Stdlib only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cvae_edge.model_config import Binarize as Binarize
from cvae_edge.model_config import ModelConfig as ModelConfig
from cvae_edge.model_config import Record, is_int
from cvae_edge.model_config import require as require

KL = Literal["sample", "analytic"]

PRESETS: dict[str, ModelConfig] = {"seed": ModelConfig()}


@dataclass(frozen=True)
class DataConfig(Record):
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
            require(is_int(self.validation, 0), "validation must be 0 or more", self.validation)
        require(
            self.binarize in (None, "static", "dynamic", "none"),
            "binarize must be static, dynamic or none",
            repr(self.binarize),
        )


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
        require(is_int(self.seed, 0) and self.seed < 2**63, "seed must be in [0, 2^63)", self.seed)


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
