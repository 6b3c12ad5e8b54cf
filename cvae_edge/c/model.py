"""One C source and one header for a bundle's int8 graphs, and for those of its learned prior."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from cvae_edge.c.float_layout import FloatLayout
from cvae_edge.c.integers import dequantized, quantized
from cvae_edge.c.layout import Layout
from cvae_edge.c.simplify import simplify
from cvae_edge.c.source import Source, arena_place, number
from cvae_edge.c.tflite_graph import Tensor, TFLiteGraph, read_graph
from cvae_edge.errors import BundleError
from cvae_edge.images import to_pixels
from cvae_edge.likelihoods import LIKELIHOODS
from cvae_edge.manifest import HALVES, PRIOR_ROLES, Manifest
from cvae_edge.preprocess import prepare
from cvae_edge.sigmoid import sigmoid
from cvae_edge.version import __version__

SOURCE, HEADER = "cvae_model.c", "cvae_model.h"
_CPP_BEGIN = ("#ifdef __cplusplus", 'extern "C" {', "#endif", "")
_CPP_END = ("#ifdef __cplusplus", "}", "#endif", "")
_NAME = re.compile("[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class CModel:
    """The text of cvae_model.c and cvae_model.h, and their memory."""

    source: str
    header: str
    arena_bytes: int  # of RAM, for all graphs, their inputs and outputs included
    constant_bytes: int  # of flash: weights, multipliers, tables


def write_c(manifest: Manifest, files: Mapping[str, bytes]) -> CModel:
    """Write a model's graphs as C.

    Args:
        manifest: the bundle's: shapes, pixels, likelihood.
        files: TFLite files by role: int8 ones; of the prior's roles those of floats.

    Raises:
        BundleError: a file is damaged, or has an operator that C has no kernel for.
    """
    if not files.keys() - {*PRIOR_ROLES}:
        raise BundleError(
            f"{manifest.name} must have int8 TFLite files, of which C is made: export it with "
            "--format tflite --quantize int8"
        )
    layouts = {role: _layout(role, content, manifest) for role, content in files.items()}
    source = Source()
    for role, (_, layout) in layouts.items():
        source.graph(role, layout)
    borders: dict[str, Tensor] = {}
    definitions = []
    for role, (names, layout) in layouts.items():
        for name, place in names.items():
            tensor, offset = layout.border(place)
            borders[f"cvae_{role}_{name}"] = tensor
            pointer = arena_place(layout, offset)
            definitions.append(_definition(f"cvae_{role}_{name}", tensor, pointer))
    _add_tables(source, manifest, borders)
    arena = max(layout.arena_bytes for _, layout in layouts.values())
    about = f"/* Written by cvae-edge {__version__}. cvae_sample.h says how it is used. */"
    lines = [
        about, f'#include "{HEADER}"', "",
        # A union, because C99 has no other way to say how bytes are aligned.
        f"static union {{ float floats[{-(-arena // 4)}]; int8_t bytes[{arena}]; }} cvae_arena;",
        "", *source.lines,
        *definitions,
    ]  # fmt: skip
    header = _header(about, manifest, [*layouts], borders, arena)
    return CModel("\n".join(lines) + "\n", header, arena, source.constant_bytes)


def file_of(role: str) -> str:
    """Return what messages call a role's file."""
    return f"the {role}'s TFLite file" if role in PRIOR_ROLES else f"{role}.int8.tflite"


def _layout(
    role: str, content: bytes, manifest: Manifest
) -> tuple[dict[str, int], Layout | FloatLayout]:
    file = file_of(role)
    try:
        given = read_graph(file, content, manifest.model)
        graph = given if role in PRIOR_ROLES else simplify(given)
        names = {**graph.inputs, **graph.outputs}
        wrong = [name for name in (role, *names) if not _NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"names in C must be of small letters and digits, got {wrong[0]!r}")
        if isinstance(graph, TFLiteGraph):
            _check_prior(role, graph, manifest.model.latent_dim)
            return names, FloatLayout(graph)
        return names, Layout(graph)
    except BundleError:
        raise
    except Exception as error:  # a file that nobody vouches for may be wrong in any way
        reason = str(error) if isinstance(error, ValueError) else f"it is damaged, {error!r}"
        raise BundleError(f"{file} cannot be made into C: {reason}") from error


def _check_prior(role: str, graph: TFLiteGraph, latent_dim: int) -> None:
    """Check that cvae_sample.c, which copies latents in and out, finds room for them."""
    latents = {"eps": latent_dim, "z": latent_dim}
    wanted = {**latents, "log_det": 1} if role == "density" else latents
    names = {**graph.inputs, **graph.outputs}
    if {name: graph.tensors[i].count for name, i in names.items()} != wanted:
        sizes = ", ".join(f"{name} of {count}" for name, count in wanted.items())
        raise ValueError(f"its tensors must be {sizes}")


def _add_tables(source: Source, manifest: Manifest, borders: Mapping[str, Tensor]) -> None:
    """Add what turns pixels into integers, integers into pixels, and the likelihood's scale."""
    source.lines += [""]
    if x := borders.get("cvae_encoder_x"):
        pixels = prepare(np.arange(256, dtype=np.uint8), manifest.pixels.binarize)
        table = quantized(pixels, x.scale, x.zero_point)
        source.array("cvae_input_of_pixel", table, static=False)
    if logits := borders.get("cvae_decoder_x_logits"):
        integers = np.arange(-128, 128)
        probabilities = sigmoid(dequantized(integers, logits.scale, logits.zero_point))
        source.array("cvae_pixel_of_logit", to_pixels(probabilities), static=False)
    if manifest.likelihood.scale:
        scale = np.array(manifest.likelihood.scale, np.float32)
        source.array("cvae_likelihood_scale", scale, static=False)
    source.lines += [""]


def _definition(name: str, tensor: Tensor, place: str) -> str:
    fields = f"{place}, {tensor.count}"
    if tensor.dtype == np.int8:
        fields += f", {number(tensor.scale)}, {tensor.zero_point}"
    return f"const {_struct(tensor)} {name} = {{{fields}}};"


def _struct(tensor: Tensor) -> str:
    return "cvae_tensor" if tensor.dtype == np.int8 else "cvae_floats"


def _header(
    about: str, manifest: Manifest, roles: list[str], borders: Mapping[str, Tensor], arena: int
) -> str:
    height, width, channels = manifest.model.image_shape
    likelihood = manifest.likelihood.name
    if likelihood not in LIKELIHOODS:
        raise BundleError(f"scores in C need a likelihood of {[*LIKELIHOODS]}, got {likelihood!r}")
    numbers = {
        "CVAE_HEIGHT": height, "CVAE_WIDTH": width, "CVAE_CHANNELS": channels,
        "CVAE_PIXELS": height * width * channels, "CVAE_LATENT_DIM": manifest.model.latent_dim,
        "CVAE_BINARY": int(manifest.pixels.binarize != "none"),
        **{f"CVAE_{name.upper()}": i for i, name in enumerate(LIKELIHOODS)},
        "CVAE_LIKELIHOOD": f"CVAE_{likelihood.upper()}",
        **{f"CVAE_HAS_{role.upper()}": int(role in roles) for role in (*HALVES, *PRIOR_ROLES)},
        "CVAE_HAS_SCORE": int(can_score(roles)),
        "CVAE_ARENA_BYTES": arena,
    }  # fmt: skip
    lines = [
        about,
        "#ifndef CVAE_MODEL_H",
        "#define CVAE_MODEL_H",
        "",
        '#include "cvae_floats.h"',
        '#include "cvae_kernels.h"',
        "",
        *(f"#define {name} {value}" for name, value in numbers.items()),
        "",
        *_CPP_BEGIN,
        "/* Each graph takes its inputs from where these lie, and leaves its outputs there. All",
        " * share one arena: a run overwrites what another graph's run left. */",
        *(f"extern const {_struct(tensor)} {name};" for name, tensor in borders.items()),
        *(f"void cvae_{role}_run(void);" for role in roles),
        "",
        "extern const int8_t cvae_input_of_pixel[256];",
        "extern const uint8_t cvae_pixel_of_logit[256];",
        "extern const float cvae_likelihood_scale[];",
        "",
        *_CPP_END,
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def can_score(roles: Collection[str]) -> bool:
    """Return whether cvae_score can be had: a learned prior must have its density in C too."""
    needed = {*HALVES, "density"} if "prior" in roles else {*HALVES}
    return needed <= {*roles}
