"""Targets: the formats that a model is exported to. A target is one module and one entry here."""

from __future__ import annotations

from cvae_edge.exporters.targets import c, onnx, tflite
from cvae_edge.exporters.targets.target import Derivation, Derived, File, Target

__all__ = [
    "DERIVATIONS",
    "TARGETS",
    "Derivation",
    "Derived",
    "File",
    "Target",
    "formats",
    "precisions",
    "register",
]

TARGETS: dict[str, Target] = {}
DERIVATIONS: dict[str, Derivation] = {c.DERIVATION.name: c.DERIVATION}


def register(target: Target) -> None:
    """Add a target, or replace the one of its name."""
    TARGETS[target.name] = target


def formats() -> tuple[str, ...]:
    """Return every format that can be exported."""
    return (*TARGETS, *DERIVATIONS)


def precisions() -> tuple[str, ...]:
    """Return every precision that some target has, float32 first."""
    return tuple(dict.fromkeys(p for target in TARGETS.values() for p in target.precisions))


for _target in (onnx.TARGET, tflite.TARGET):
    register(_target)
