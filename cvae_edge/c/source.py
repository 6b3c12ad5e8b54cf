"""C99 text: constants, and the calls of each graph's steps."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_edge.c.float_layout import FloatLayout
from cvae_edge.c.layout import Layout
from cvae_edge.c.steps import Step
from cvae_edge.c.views import View

_TYPES = {"int8": "int8_t", "int32": "int32_t", "uint8": "uint8_t", "float32": "float"}
_WIDTH = 100
_WORD = 4  # bytes of a struct's field on a microcontroller


class Source:
    """A C file in the making."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constant_bytes = 0
        self._names: dict[tuple[str, bytes], str] = {}

    def array(self, name: str, values: NDArray[Any], static: bool = True) -> str:
        """Define a constant array and return its name; equal static ones are defined once."""
        flat = values.ravel()
        key = flat.dtype.name, flat.tobytes()
        if static and key in self._names:
            return self._names[key]
        self._names.setdefault(key, name)
        self.constant_bytes += flat.nbytes
        kind = _TYPES[flat.dtype.name]
        head = f"{'static ' if static else ''}const {kind} {name}[{flat.size}] = {{"
        self.lines += [head, *rows(number(v) for v in flat.tolist()), "};"]
        return name

    def graph(self, prefix: str, layout: Layout | FloatLayout) -> None:
        """Define a graph's constants, and the function that runs it."""
        calls = [
            self._call(f"{prefix}_{i}", step, layout, layout.scratch.get(i))
            for i, step in enumerate(layout.steps)
        ]
        self.lines += ["", f"void cvae_{prefix}_run(void)", "{", *calls, "}", ""]

    def _call(
        self, name: str, step: Step, layout: Layout | FloatLayout, scratch: int | None
    ) -> str:
        arguments = []
        if step.struct:
            self._options(name, step)
            arguments.append(f"&{name}")
        for i, view in enumerate(step.reads):
            if isinstance(view, View):
                arguments.append(arena_place(layout, layout.offset(view)))
            else:
                arguments.append(self.array(f"{name}_{i}", view))
        arguments.append(arena_place(layout, layout.offset(step.writes)))
        for value in step.extra:
            is_array = isinstance(value, np.ndarray)
            arguments.append(self.array(f"{name}_table", value) if is_array else str(value))
        if step.scratch is not None:
            arguments.append("0" if scratch is None else arena_place(layout, scratch))
        return f"    {step.function}({', '.join(arguments)});"

    def _options(self, name: str, step: Step) -> None:
        fields: Mapping[str, str] = {
            key: self._field(f"{name}_{key}", value) for key, value in step.options.items()
        }
        sizes = [len(v) if isinstance(v, list) else 1 for v in step.options.values()]
        self.constant_bytes += _WORD * sum(sizes)
        body = ", ".join(f".{key} = {value}" for key, value in fields.items())
        self.lines += [
            f"static const {step.struct} {name} = {{",
            *textwrap.wrap(body, _WIDTH, initial_indent="    ", subsequent_indent="    "),
            "};",
        ]

    def _field(self, name: str, value: Any) -> str:
        if value is None:
            return "0"
        if isinstance(value, np.ndarray):
            return self.array(name, value)
        if isinstance(value, list):
            return f"{{{', '.join(map(str, value))}}}"
        return number(value)


def number(value: float) -> str:
    """Return a C literal of an int or of a float32."""
    if isinstance(value, float):
        text = np.format_float_scientific(np.float32(value), unique=True)
        return f"{text}f"
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def rows(words: Iterable[str]) -> list[str]:
    """Return words in lines, each with a comma behind it."""
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return [*lines, line]


def arena_place(layout: Layout | FloatLayout, offset: int) -> str:
    """Return a C pointer into the arena."""
    return f"cvae_arena.{layout.member} + {offset}"
