"""C99: one source and one header of a bundle's int8 TFLite files, for devices without a runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cvae_edge.c.files import files_of_c
from cvae_edge.c.model import HEADER, SOURCE, write_c
from cvae_edge.exporters.targets.target import Derivation, Derived
from cvae_edge.kits.folder import read_sources
from cvae_edge.manifest import HALVES, Artifact, Manifest


def derive(manifest: Manifest, files: Mapping[str, bytes]) -> Derived:
    """Write the int8 files of a bundle and its prior as C, beside the sources that it calls.

    Args:
        manifest: with the artifacts that are in the bundle until now.
        files: their contents by name.

    Raises:
        BundleError: there is no int8 TFLite file, or one has an operator that C has no kernel for.
    """
    taken = files_of_c(manifest)
    halves = [a for a in taken if a.role in HALVES]
    model = write_c(manifest, {a.role: files[a.file] for a in taken})
    content = model.source.encode()
    artifact = Artifact(
        file=SOURCE,
        format="c",
        role="codec",
        precision="int8",
        lowering=next((a.lowering for a in halves if a.lowering), None),
        inputs=tuple(t for a in halves for t in a.inputs),
        outputs=tuple(t for a in halves for t in a.outputs),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        report={
            "made_of": [a.file for a in taken],
            "arena_bytes": model.arena_bytes,
            "constant_bytes": model.constant_bytes,
        },
    )
    return Derived(artifact, content, {HEADER: model.header.encode(), **read_sources("c")})


DERIVATION = Derivation("c", made_of=("tflite", "int8"), derive=derive, file=SOURCE)
