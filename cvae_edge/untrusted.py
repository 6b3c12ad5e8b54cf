"""Checks of JSON that nobody vouches for; each names the rule and what was got. Stdlib only."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cvae_edge.errors import BundleError

_LONGEST_WORD, _LONGEST_NAME = 40, 100
_LARGEST = sys.float_info.max
_DIGITS = 20  # of an integer of 64 bits, with its sign


def check(condition: bool, rule: str, got: object) -> None:
    """Raise BundleError with the rule and what was got instead, unless ``condition`` holds."""
    if not condition:
        raise BundleError(f"{rule}, got {str(got)[:200]}")


def parse_json(content: bytes) -> Any:
    """Return the value of JSON whose numbers and texts everything can hold and print.

    That is, without NaN, infinity, integers of more than 64 bits and halves of surrogate pairs.

    Raises:
        BundleError: it is not so.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        if b"\\ud" in content or b"\\uD" in content:  # only an escape can make half a pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BundleError(f"it must be readable JSON: {error}") from error
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"an integer must fit into 64 bits, got {text[:40]}")
    return int(text)


def known_fields(cls: type[tuple[Any, ...]], fields: Any) -> dict[str, Any]:
    """Return the fields that a named tuple has; a later version's additions are ignored."""
    name = cls.__name__.lower()
    names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
    defaults: dict[str, Any] = cls._field_defaults  # type: ignore[attr-defined]
    check(isinstance(fields, dict), f"a {name} must be an object", type(fields).__name__)
    missing = sorted(set(names) - set(defaults) - set(fields))
    check(not missing, f"a {name} must have all of its fields", f"none of {missing}")
    return {field: fields[field] for field in names if field in fields}


def typed(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a field that must be there and of a type."""
    check(name in fields, f"{name} must be there", "nothing")
    value = fields[name]
    check(isinstance(value, kind), f"{name} must be {kind.__name__}", type(value).__name__)
    return value


def word(fields: Mapping[str, Any], name: str) -> str:
    """Return a field that later versions may have other values for."""
    value: str = typed(fields, name, str)
    fits = 0 < len(value) <= _LONGEST_WORD
    fits = fits and all(c.isascii() and (c.isalnum() or c == "_") for c in value)
    check(fits, f"{name} must be a word of letters, digits and '_'", repr(value))
    return value


def optional(fields: Mapping[str, Any], name: str, fits: Callable[[Any], bool], what: str) -> None:
    """Refuse a field that is there, is not null and does not fit."""
    value = fields.get(name)
    check(value is None or fits(value), f"{name} must be {what}", value)


def is_whole(value: object) -> bool:
    """Whether a value is an integer of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -_LARGEST <= value <= _LARGEST  # type: ignore[operator] # False for NaN


def check_sha256(value: object) -> None:
    """Refuse anything but a SHA-256 in hexadecimal."""
    check(
        isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"),
        "a SHA-256 must be 64 hexadecimal digits",
        value,
    )


def leads_out(path: str) -> bool:
    """Whether a path in an archive, with / between its parts, leads out of where it is unpacked."""
    return path.startswith("/") or path[1:2] == ":" or ".." in path.split("/")


def check_file_name(value: object, taken: str) -> None:
    """Refuse a name that leads out of the bundle's own folder or to a hidden file, or is taken."""
    check(
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_NAME
        and not value.startswith(".")
        and value != taken
        and all(c.isascii() and (c.isalnum() or c in "._-") for c in value),
        "a file name must be plain letters, digits, '.', '_' and '-'",
        repr(value),
    )
