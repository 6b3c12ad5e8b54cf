"""Which of a bundle's files C is made of."""

from __future__ import annotations

from cvae_edge.manifest import HALVES, Artifact, Manifest
from cvae_edge.runtime.choose import choose_prior


def files_of_c(manifest: Manifest) -> list[Artifact]:
    """Return the int8 TFLite halves, and the learned prior's files that go with them.

    The prior is for what a decoder draws, its density for scores, which take both halves.
    """
    found = {
        a.role: a for a in manifest.artifacts
        if (a.format, a.precision) == ("tflite", "int8") and a.role in HALVES
    }  # fmt: skip
    halves = [found[role] for role in HALVES if role in found]
    needed = {"prior": ("decoder",), "density": HALVES}
    prior = choose_prior(manifest, "tflite", "int8")
    return [*halves, *(a for a in prior if all(role in found for role in needed[a.role]))]
