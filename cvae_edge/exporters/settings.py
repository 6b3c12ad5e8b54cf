"""What to export, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cvae_edge.config import require
from cvae_edge.exporters.card_details import CardDetails
from cvae_edge.exporters.passes.lower import LOWERINGS
from cvae_edge.exporters.targets import DERIVATIONS, TARGETS, Derivation, formats, precisions
from cvae_edge.manifest import PRIOR_ROLES, ROLES

LOWERED = ("decoder", "reconstruct")  # roles whose networks enlarge images


@dataclass(frozen=True)
class Kind:
    """One file of a bundle."""

    role: str  # of ROLES
    format: str  # of TARGETS
    precision: str  # that the target has

    @property
    def file(self) -> str:
        """Its name: decoder.onnx in float32, decoder.int8.onnx otherwise."""
        middle = "" if self.precision == "float32" else f".{self.precision}"
        return f"{self.role}{middle}.{self.format}"


@dataclass(frozen=True)
class Settings:
    """The options of an export."""

    formats: Sequence[str] = ("onnx", "tflite")
    precisions: Sequence[str] = ("float32",)  # float32 is exported in any case
    fused: bool = True  # reconstruct as well: both halves in one file
    lowering: str = "auto"  # one of LOWERINGS; auto: the target's; measured: the fastest here
    max_elbo_drop: float | None = None  # nats; an artifact that loses more is left out
    opset: int | None = None
    calibration_samples: int = 500
    io: Literal["float32", "int8"] = "float32"  # inputs and outputs of TFLite files of integers
    tune_epochs: float = 2.0  # that networks of integers are trained on for; 0: not at all
    compare: bool = False  # time the tools' own export beside each file
    card: CardDetails = field(default_factory=CardDetails)  # what the card says beside the figures
    held_out: int = 2000  # test images that ELBOs are measured on

    def __post_init__(self) -> None:
        for name, known in (("formats", formats()), ("precisions", precisions())):
            got = tuple(getattr(self, name))
            require(
                bool(got) and set(got) <= set(known),
                f"{name} must be some of {', '.join(known)}",
                ", ".join(got) or "none",
            )
        lowerings = ("auto", "measured", *LOWERINGS)
        require(
            self.lowering in lowerings,
            f"lowering must be one of {', '.join(lowerings)}",
            repr(self.lowering),
        )
        require(self.io in ("float32", "int8"), "io must be float32 or int8", self.io)
        drop = self.max_elbo_drop
        require(drop is None or drop >= 0, "max_elbo_drop must be 0 or more", drop)
        require(0 <= self.tune_epochs < 1000, "tune_epochs must be 0 to 1000", self.tune_epochs)
        for name in ("calibration_samples", "held_out"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1", getattr(self, name))

    def kinds(self, roles: Sequence[str] = ROLES) -> list[Kind]:
        """Return every file to export of these roles, float32 first.

        There is no ``reconstruct`` of integers: between the halves it takes the exponential of
        logvar, for which 8 bits are too few. Nor has a prior activations of 8 bits, which would
        cost it nats: one with kernels of 8 bits goes with integers.
        """
        wanted = self._wanted()
        of_prior = {(f, p) for f, p in wanted if p not in TARGETS[f].schemes}
        of_prior |= {(f, "dynamic_range") for f, p in wanted - of_prior}
        return [
            Kind(role, format, precision)
            for precision in precisions()
            for format, target in TARGETS.items()
            for role in roles
            if (format, precision) in (of_prior if role in PRIOR_ROLES else wanted)
            and precision in target.precisions
            and (role != "reconstruct" or (self.fused and precision not in target.schemes))
        ]

    def integers(self) -> list[tuple[str, str]]:
        """Return the formats and precisions whose networks compute with integers."""
        wanted = self._wanted()
        return [
            (format, precision)
            for format, target in TARGETS.items()
            for precision in target.schemes
            if (format, precision) in wanted
        ]

    def derivations(self) -> list[Derivation]:
        """Return the formats to export whose files are made of other files."""
        return [d for name, d in DERIVATIONS.items() if name in self.formats]

    def _wanted(self) -> set[tuple[str, str]]:
        """Return formats with precisions: those asked for, and those that others are made of."""
        made = TARGETS.keys() & set(self.formats)
        asked = {(f, p) for f in made for p in ("float32", *self.precisions)}
        sources = [derivation.made_of for derivation in self.derivations()]
        return asked | {(f, p) for f, precision in sources for p in ("float32", precision)}

    def lowering_of(self, kind: Kind) -> str:
        """Return how this file's enlarging layers are lowered; other roles have none."""
        if kind.role not in LOWERED:
            return "transposed"
        return (
            TARGETS[kind.format].lowerings[kind.precision]
            if self.lowering == "auto"
            else self.lowering
        )
