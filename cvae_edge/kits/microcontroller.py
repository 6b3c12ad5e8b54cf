"""A microcontroller project of a bundle: C, a Makefile, a self-test, and the memory they need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from cvae_edge.bundle import Bundle
from cvae_edge.c.files import files_of_c
from cvae_edge.c.model import HEADER, SOURCE, CModel, can_score, write_c
from cvae_edge.c.source import rows
from cvae_edge.c.tflite_graph import read_graph
from cvae_edge.errors import BundleError
from cvae_edge.kits.folder import new_kit, read_sources
from cvae_edge.kits.golden import write_golden
from cvae_edge.kits.tflite_micro import measure_arena
from cvae_edge.manifest import HALVES, PRIOR_ROLES, Artifact, Manifest
from cvae_edge.model_config import require
from cvae_edge.writing import write_bytes

# Of flash: kernels, noise and what they take of the C library; 12 KB on a Cortex-M4 with -Os
# (benchmarks/microcontroller.py), more without a floating point unit.
CODE_BYTES = 16384
PRIOR_CODE_BYTES = 5120  # of floats and tanhf beside it: 4 KB on a Cortex-M3 and on a Cortex-M4
STACK_BYTES = 2048  # of which a Cortex-M3 uses about 500
_FLOAT = 4
_PRIOR = """

`cvae_generate` draws from the learned prior, and `cvae_score` takes its log p(z). Those compute in
floating point, with kernels of 8 bits where the file has such: `make check` allows their results to
be 1e-4 from numpy's. LiteRT also rounds what a layer with such kernels takes, so its latents are
further away. cvae_sample.h says how to draw from the standard normal."""


class MicrocontrollerKit(NamedTuple):
    """What was made."""

    folder: Path
    files: list[str]  # of the bundle
    flash_bytes: int  # that it takes of a device
    ram_bytes: int


def make_microcontroller_kit(
    bundle: Bundle, out: Path, flash: int | None = None, ram: int | None = None
) -> MicrocontrollerKit:
    """Write the project of a bundle's int8 TFLite files and of its learned prior.

    See export/microcontroller/README.md.

    Args:
        bundle: with an int8 TFLite encoder, decoder or both.
        out: the folder; a microcontroller kit that is there is replaced.
        flash: bytes of flash that the device has.
        ram: bytes of RAM that it has.

    Raises:
        BundleError: the bundle has no such file, one has an operator that C has no kernel for, or
            ``out`` is not a microcontroller kit.
        ConfigError: the model takes more flash or RAM.
    """
    for name, size in (("--flash", flash), ("--ram", ram)):
        require(size is None or size > 0, f"{name} must be at least 1 byte", size)
    artifacts = _artifacts(bundle.manifest)
    files = {a.role: bundle.read(a) for a in artifacts}
    model = write_c(bundle.manifest, files)
    used = model.constant_bytes + _code(files)
    needed = model.arena_bytes + _other_ram(bundle.manifest)
    for name, have, takes in (("--flash", flash, used), ("--ram", ram, needed)):
        require(
            have is None or takes <= have,
            f"{name} must be at least the {takes:,} bytes that {bundle.manifest.name} takes",
            f"{have or 0:,}",
        )
    contents = _contents(bundle, model, files)
    with new_kit(out, "microcontroller") as folder:
        for name, content in contents.items():
            write_bytes(folder / name, content)
    return MicrocontrollerKit(out, [a.file for a in artifacts], used, needed)


def _artifacts(manifest: Manifest) -> list[Artifact]:
    found = files_of_c(manifest)
    if not found:
        of_format = [a for a in manifest.artifacts if a.format == "tflite" and a.role in HALVES]
        others = ", ".join(a.file for a in of_format) or "none for TFLite"
        raise BundleError(
            f"a microcontroller takes int8 TFLite files, which compute with integers throughout; "
            f"{manifest.name} has {others}: export it with --format c"
        )
    return found


def _other_ram(manifest: Manifest) -> int:
    return _FLOAT * manifest.model.latent_dim + STACK_BYTES


def _code(files: Mapping[str, bytes]) -> int:
    return CODE_BYTES + (PRIOR_CODE_BYTES if "prior" in files else 0)


def _contents(bundle: Bundle, model: CModel, files: Mapping[str, bytes]) -> dict[str, bytes]:
    contents = {**read_sources("c"), **read_sources("microcontroller")}
    contents |= {SOURCE: model.source.encode(), HEADER: model.header.encode()}
    contents["cvae_golden.c"] = write_golden(bundle, files).encode()
    template = Template(contents["README.md"].decode())
    contents["README.md"] = template.substitute(_facts(bundle.manifest, model, files)).encode()
    for role in _halves(files):
        contents |= _as_array(role, files[role])
    return contents


def _facts(manifest: Manifest, model: CModel, files: Mapping[str, bytes]) -> dict[str, str]:
    calls = {
        "encoder": [
            "float mean[CVAE_LATENT_DIM], logvar[CVAE_LATENT_DIM];",
            "cvae_encode(pixels, mean, logvar);",
        ],
        "decoder": ["cvae_generate(0, 0, pixels); /* seed, image */"],
    }
    lines = [line for role in _halves(files) for line in calls[role]]
    if can_score(files):
        lines.append("float nats = cvae_score(pixels); /* low is unlike the training data */")
    grey = manifest.pixels.binarize == "none"
    return {
        "title": " ".join(manifest.name.split()).replace("|", " "),
        "constants": f"{model.constant_bytes:,}",
        "code": f"{_code(files):,}",
        "arena": f"{model.arena_bytes:,}",
        "other": f"{_other_ram(manifest):,}",
        "use": "".join(f"{line}\n" for line in lines),
        "binary": "" if grey else " An image to encode is thresholded at 128.",
        "prior": _PRIOR if "prior" in files else "",
        "operators": _operators(manifest, files),
    }


def _operators(manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Return the operators that TFLite Micro must register, by file."""
    lines = []
    for role in _halves(files):
        content = files[role]
        graph = read_graph(f"{role}.int8.tflite", content, manifest.model)
        names = ", ".join(sorted({operator.name for operator in graph.operators}))
        arena = measure_arena(content)
        takes = f" and an arena of {arena:,}" if arena else ""
        lines.append(f"- {role}.int8.tflite, {len(content):,} bytes{takes}: {names}")
    if "prior" in files:
        lines.append(
            "\nThe learned prior is not among them: TFLite Micro has no int8 kernels on floats."
        )
    return "\n".join(lines)


def _halves(files: Mapping[str, bytes]) -> list[str]:
    return [role for role in files if role not in PRIOR_ROLES]


def _as_array(role: str, content: bytes) -> dict[str, bytes]:
    """Return a TFLite file as C, for TFLite Micro, which wants it at a multiple of 16 bytes."""
    name = f"{role}_int8_tflite"
    head = f"extern const unsigned char {name}[{len(content)}];\n"
    body = "\n".join(rows(map(str, content)))
    definition = f"__attribute__((aligned(16))) const unsigned char {name}[{len(content)}]"
    text = f"{definition} = {{\n{body}\n}};\n"
    folder = "tflite_micro"
    return {
        f"{folder}/{name}.h": head.encode(),
        f"{folder}/{name}.c": f'#include "{name}.h"\n\n{text}'.encode(),
    }
