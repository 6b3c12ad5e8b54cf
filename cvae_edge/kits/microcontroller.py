"""A microcontroller project of a bundle: C, a Makefile, a self-test, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from cvae_edge.bundle import Bundle
from cvae_edge.c.model import HEADER, SOURCE, CModel, write_c
from cvae_edge.c.source import rows
from cvae_edge.c.tflite_graph import read_graph
from cvae_edge.errors import BundleError
from cvae_edge.kits.folder import new_kit, read_sources
from cvae_edge.kits.golden import write_golden
from cvae_edge.kits.tflite_micro import measure_arena
from cvae_edge.manifest import Manifest
from cvae_edge.model_config import require
from cvae_edge.writing import write_bytes

ROLES = ("encoder", "decoder")
# Of flash: kernels, noise and what they take of the C library; 12 KB on a Cortex-M4 with -Os
# (benchmarks/microcontroller.py), more without a floating point unit.
CODE_BYTES = 16384
STACK_BYTES = 2048  # of which a Cortex-M3 uses about 500
_FLOAT = 4


class MicrocontrollerKit(NamedTuple):
    """What was made."""

    folder: Path
    files: list[str]  # of the bundle
    flash_bytes: int  # that it takes of a device
    ram_bytes: int


def make_microcontroller_kit(
    bundle: Bundle, out: Path, flash: int | None = None, ram: int | None = None
) -> MicrocontrollerKit:
    """Write the project of a bundle's int8 TFLite files; see export/microcontroller/README.md.

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
    files = _files(bundle)
    model = write_c(bundle.manifest, files)
    used = model.constant_bytes + CODE_BYTES
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
    return MicrocontrollerKit(out, [f"{role}.int8.tflite" for role in files], used, needed)


def _files(bundle: Bundle) -> dict[str, bytes]:
    """Return the int8 TFLite files by role."""
    manifest = bundle.manifest
    of_format = [a for a in manifest.artifacts if a.format == "tflite" and a.role in ROLES]
    found = {a.role: bundle.read(a) for a in of_format if a.precision == "int8"}
    if not found:
        others = ", ".join(a.file for a in of_format) or "none for TFLite"
        raise BundleError(
            f"a microcontroller takes int8 TFLite files, which compute with integers throughout; "
            f"{manifest.name} has {others}: export it with --format c"
        )
    return {role: found[role] for role in ROLES if role in found}


def _other_ram(manifest: Manifest) -> int:
    return _FLOAT * manifest.model.latent_dim + STACK_BYTES


def _contents(bundle: Bundle, model: CModel, files: Mapping[str, bytes]) -> dict[str, bytes]:
    contents = {**read_sources("c"), **read_sources("microcontroller")}
    contents |= {SOURCE: model.source.encode(), HEADER: model.header.encode()}
    contents["cvae_golden.c"] = write_golden(bundle, files).encode()
    template = Template(contents["README.md"].decode())
    contents["README.md"] = template.substitute(_facts(bundle.manifest, model, files)).encode()
    for role, content in files.items():
        contents |= _as_array(role, content)
    return contents


def _facts(manifest: Manifest, model: CModel, files: Mapping[str, bytes]) -> dict[str, str]:
    calls = {
        "encoder": [
            "float mean[CVAE_LATENT_DIM], logvar[CVAE_LATENT_DIM];",
            "cvae_encode(pixels, mean, logvar);",
        ],
        "decoder": ["cvae_generate(0, 0, pixels); /* seed, image */"],
    }
    lines = [line for role in files for line in calls[role]]
    if len(files) == len(ROLES):
        lines.append("float nats = cvae_score(pixels); /* low is unlike the training data */")
    grey = manifest.pixels.binarize == "none"
    return {
        "title": " ".join(manifest.name.split()).replace("|", " "),
        "constants": f"{model.constant_bytes:,}",
        "code": f"{CODE_BYTES:,}",
        "arena": f"{model.arena_bytes:,}",
        "other": f"{_other_ram(manifest):,}",
        "use": "".join(f"{line}\n" for line in lines),
        "binary": "" if grey else " An image to encode is thresholded at 128.",
        "operators": _operators(manifest, files),
    }


def _operators(manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Return the operators that TFLite Micro must register, by file."""
    lines = []
    for role, content in files.items():
        graph = read_graph(f"{role}.int8.tflite", content, manifest.model)
        names = ", ".join(sorted({operator.name for operator in graph.operators}))
        arena = measure_arena(content)
        takes = f" and an arena of {arena:,}" if arena else ""
        lines.append(f"- {role}.int8.tflite, {len(content):,} bytes{takes}: {names}")
    return "\n".join(lines)


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
