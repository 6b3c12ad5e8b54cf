"""What microcontroller.py found, in Markdown."""

from __future__ import annotations

import textwrap
from typing import Any

import record

_ROLES = ("encoder", "decoder")


def report(figures: dict[str, Any]) -> str:
    text = ""
    if found := figures.get("integers"):
        rows = [
            (name, r.get("files", ""), r.get("cases", ""), r.get("integers", ""),
             r.get("differ", r.get("skipped")))
            for name, r in found.items()
        ]  # fmt: skip
        columns = ("machine", "files", "inputs a file", "integers", "differ")
        text += "Beside LiteRT's reference kernels, on random integers. All but x86-64 are "
        text += f"emulated.\n\n{record.markdown_table(columns, rows)}\n"
    if found := figures.get("memory"):
        rows = [(n, r["arena"], r["tflite_micro_arena"] or "") for n, r in found.items()]
        columns = ("file", "arena in C, bytes", "in TFLite Micro")
        text += record.markdown_table(columns, rows) + "\n"
    if found := figures.get("flash"):
        text += f"Flash on a Cortex-M4 with -Os: {found['code']:,} bytes of code, the C library's "
        text += f"included, beside {found['constants']:,} of weights and tables.\n\n"
    if found := figures.get("speed"):
        names = list(dict.fromkeys(n for r in found.values() for n in r))
        rows = [(role, *(r.get(n, "") for n in names)) for role, r in found.items()]
        text += "Milliseconds of processor time an image, one thread:\n\n"
        text += record.markdown_table(("file", *names), rows) + "\n"
    if found := figures.get("instructions"):
        rows = [(n, *(f"{r[role]:,}" for role in _ROLES)) for n, r in found.items()]
        text += "Instructions an image on an emulated Cortex-M4 (its cycles are not emulated):\n\n"
        text += record.markdown_table(("compiled with", *_ROLES), rows)
    return text


def summary(figures: dict[str, Any]) -> str:
    """For the README."""
    places = {n: r for n, r in figures["integers"].items() if "differ" in r}
    most = max(r["cases"] for r in places.values())
    few = [n for n, r in places.items() if r["cases"] < most]
    memory, speed = figures["memory"], figures["speed"]
    counts, flash = figures["instructions"], figures["flash"]
    rows = []
    for role in _ROLES:
        sizes, times = memory[f"reference_{role}"], speed[role]
        ours, micro = times["C, gcc -O3"], times["TFLite Micro"]
        rows.append([
            role, f"{sizes['arena']:,}", f"{sizes['tflite_micro_arena']:,.0f}",
            f"{micro / ours:.1f}", f"{ours / times['LiteRT with XNNPACK']:.1f}",
            f"{counts['-O3'][role] / 1e6:.1f}",
        ])  # fmt: skip
    columns = ("int8", "arena in C, bytes", "in TFLite Micro",
               "times as fast as TFLite Micro's reference kernels", "times LiteRT's time",
               "million instructions, Cortex-M4")  # fmt: skip
    fewer = f" ({min(r['cases'] for r in places.values())} on {', '.join(few)})" if few else ""
    (files,) = {r["files"] for r in places.values()}
    text = (
        f"Beside LiteRT's reference kernels {sum(r['differ'] for r in places.values()):,} integers "
        f"differ, of {sum(r['integers'] for r in places.values()):,} on {', '.join(places)}: "
        f"{most:,} random inputs{fewer} of {files} files. Code takes "
        f"{flash['code']:,} bytes of flash beside the weights on a Cortex-M4. Speed is one "
        "thread's on this machine; the others are emulated."
    )
    return f"{record.markdown_table(columns, rows)}\n{textwrap.fill(text, 100)}\n"
