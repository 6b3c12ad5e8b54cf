"""Targets: the formats that a model is exported to. A target is one module and one entry here."""

from __future__ import annotations

from cvae_edge.exporters.targets import onnx, tflite
from cvae_edge.exporters.targets.target import File, Target

__all__ = ["TARGETS", "File", "Target", "precisions", "register"]

TARGETS: dict[str, Target] = {}


def register(target: Target) -> None:
    """Add a target, or replace the one of its name."""
    TARGETS[target.name] = target


def precisions() -> tuple[str, ...]:
    """Return every precision that some target has, float32 first."""
    return tuple(dict.fromkeys(p for target in TARGETS.values() for p in target.precisions))


for _target in (onnx.TARGET, tflite.TARGET):
    register(_target)
