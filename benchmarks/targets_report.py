"""What targets.py found, in Markdown."""

from __future__ import annotations

import textwrap
from typing import Any

import record

NAMES = {
    "onnxruntime": "onnxruntime",
    "openvino": "OpenVINO",
    "tract": "tract",
    "iree": "IREE",
    "tvm": "TVM",
    "mnn": "MNN",
    "ncnn": "ncnn",
    "opencv": "OpenCV",
    "tinygrad": "tinygrad",
    "onnxruntime_node": "onnxruntime-node",
    "onnxruntime_web": "onnxruntime-web, wasm in Node",
    "litert": "LiteRT",
    "litert_js": "LiteRT.js, wasm in Node",
    "tflite_micro": "TFLite Micro",
    "c": "C, gcc -O3",
}
_ROLES = ("encoder", "decoder")
_PRECISIONS = ("float32", "int8")
Figures = dict[str, Any]


def is_right(pair: Figures) -> bool:
    """Whether both files run, and give the golden outputs within the manifest's tolerance."""
    return all(pair.get(role, {}).get("right", False) for role in _ROLES) and "elbo" in pair


def reason(pair: Figures) -> str:
    """Why a pair is not right."""
    said = {}
    for role in _ROLES:
        figures = pair.get(role, {})
        if "refused" in figures:
            said[role] = figures["refused"]
        elif not figures["right"]:
            said[role] = f"differs by {_difference(figures)}"
    both = dict.fromkeys(said.values())
    if len(both) == 1 and len(said) == len(_ROLES):
        return next(iter(both))
    return "; ".join(f"{role}: {words}" for role, words in said.items()) or pair.get("refused", "")


def _difference(figures: Figures) -> str:
    return f"{max(figures['differences'].values()):.2g}"


def _cells(pair: Figures, exact: float) -> list[str]:
    parts = [pair[role] for role in _ROLES]
    loss = exact - pair["elbo"]
    return [
        " / ".join(_difference(p) for p in parts),
        f"{loss:.3f}" if abs(loss) >= 5e-4 else "0.000",
        f"{sum(p['bytes'] for p in parts) / 1e3:.0f}",
        " / ".join(f"{p['milliseconds']:.3g}" for p in parts),
    ]


def _priority(figures: Figures) -> str:
    pairs = [
        pair
        for engine in figures["engines"].values()
        for pairs in engine["formats"].values()
        for pair in pairs.values()
    ]
    timed = {pair[r]["real_time"] for pair in pairs for r in _ROLES if "real_time" in pair[r]}
    return "at real-time priority" if timed == {True} else "at normal priority beside other work"


def counted(figures: Figures) -> list[str]:
    """Return the engines that run both precisions of a format within tolerance."""
    return [
        name
        for name, engine in figures["engines"].items()
        if any(
            all(p in pairs and is_right(pairs[p]) for p in _PRECISIONS)
            for pairs in engine["formats"].values()
        )
    ]


def table(figures: Figures) -> str:
    rows = []
    for name, engine in figures["engines"].items():
        for format, pairs in engine["formats"].items():
            for precision, pair in pairs.items():
                cells = _cells(pair, figures["elbo"]) if "elbo" in pair else [""] * 4
                right = "yes" if is_right(pair) else "no"
                rows.append([NAMES[name], format, precision, right, *cells])
    columns = ("engine", "files", "precision", "right", "largest difference, encoder / decoder",
               "nats lost", "kB", "ms an image, encoder / decoder")  # fmt: skip
    return record.markdown_table(columns, rows)


def report(figures: Figures) -> str:
    engines, count = figures["engines"], counted(figures)
    intro = (
        f"{len(count)} engines run float32 and int8 files within the manifest's tolerance of the "
        "golden outputs. Nats are those of a pair of encoder and decoder on the first "
        f"{figures['images']:,} test images, beside the float32 ONNX files in onnxruntime "
        f"({figures['elbo']:.3f}); less than 0 is a gain. Images are run one at a time, on one "
        "core, and times are "
        f"medians, {_priority(figures)}. kB are of what is loaded: the files, or what the engine "
        "makes of them."
    )
    text = f"{textwrap.fill(intro, 100)}\n\n{table(figures)}\nNot right, and why:\n\n"
    for name, engine in engines.items():
        for format, pairs in engine["formats"].items():
            for precision, pair in pairs.items():
                if not is_right(pair):
                    text += f"- {NAMES[name]}, {format} {precision}: {reason(pair)}\n"
    versions = [package for engine in engines.values() for package in engine["packages"]]
    text += f"\nVersions: {', '.join(dict.fromkeys(versions))}.\n"
    return text + converters(figures.get("converters", {}))


def converters(found: Figures) -> str:
    text = "\nWhat only converts files. vela estimates what runs on the NPU, no fallback.\n\n"
    rows = [
        [
            label,
            role,
            f"{f['operators']['NPU']} of {sum(f['operators'].values())}",
            ", ".join(f["fallbacks"]),
            f"{f['cycles']:,}",
            f"{f['milliseconds']:g}",
            f"{f['sram_kilobytes']:g}",
        ]
        for label, by_role in found.get("vela", {}).items()
        for role, f in by_role.items()
    ]
    if rows:
        columns = ("vela for Ethos-U55, int8 files of", "", "operators on the NPU", "not",
                   "cycles, its estimate", "ms, its estimate", "SRAM, kB")  # fmt: skip
        text += record.markdown_table(columns, rows) + "\n"
    reasons = {f"coremltools, {f}": why for f, why in found.get("coremltools", {}).items()}
    for name, why in {**reasons, **found.get("no_way_in", {})}.items():
        text += f"- {name}: {why}\n"
    return text


def summary(figures: Figures) -> str:
    """For the README."""
    rows = []
    for name, engine in figures["engines"].items():
        for format, pairs in engine["formats"].items():
            cells = []
            for precision in _PRECISIONS:
                pair = pairs.get(precision, {})
                right = is_right(pair)
                found = _cells(pair, figures["elbo"]) if right else ["", "no", "", ""]
                cells += [found[1], found[3]] if precision in pairs else ["", ""]
            if any(is_right(pair) for pair in pairs.values()):
                rows.append([NAMES[name], format, *cells])
    columns = ("engine", "files", "float32: nats lost", "ms", "int8: nats lost", "ms")
    text = (
        f"{len(counted(figures))} engines run float32 and int8 files within the manifest's "
        f"tolerance; nats are a pair's on {figures['images']:,} test images, less than 0 a gain; "
        "milliseconds are the encoder's and the decoder's for one image on one core."
    )
    return f"{record.markdown_table(columns, rows)}\n{textwrap.fill(text, 100)}\n"
