"""FlatBuffers, for readers of a few fields. Nothing is run; stdlib only.

https://flatbuffers.dev/internals. Every offset is checked before it is followed.
"""

from __future__ import annotations

import struct


class Table:
    """A table's fields by their place in the schema, from 0.

    Raises:
        ValueError, struct.error: here and in every method: an offset leads out of the file.
    """

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - _unpack("<i", data, at)
        self._size = _unpack("<H", data, self._fields)

    @classmethod
    def root(cls, data: memoryview) -> Table:
        """Return the table that a file begins with."""
        return cls(data, _unpack("<I", data, 0))

    def number(self, place: int, kind: str, default: int = 0) -> int:
        """Return a number of a ``struct`` format, or the schema's default."""
        at = self._place(place)
        return default if at is None else _unpack(f"<{kind}", self._data, at)

    def table(self, place: int) -> Table | None:
        """Return a table."""
        at = self._place(place)
        return None if at is None else Table(self._data, self._follow(at))

    def tables(self, place: int) -> list[Table]:
        """Return a vector of tables."""
        start, count = self._vector(place, 4)
        return [Table(self._data, self._follow(start + 4 * i)) for i in range(count)]

    def numbers(self, place: int, kind: str) -> tuple[int, ...]:
        """Return a vector of numbers of a ``struct`` format."""
        start, count = self._vector(place, struct.calcsize(kind))
        return struct.unpack_from(f"<{count}{kind}", self._data, start)

    def bytes(self, place: int) -> memoryview:
        """Return a vector of bytes."""
        start, count = self._vector(place, 1)
        return self._data[start : start + count]

    def _place(self, place: int) -> int | None:
        entry = 4 + 2 * place
        offset = _unpack("<H", self._data, self._fields + entry) if entry < self._size else 0
        return self._at + offset if offset else None

    def _vector(self, place: int, size: int) -> tuple[int, int]:
        at = self._place(place)
        if at is None:
            return 0, 0
        start = self._follow(at)
        count = _unpack("<I", self._data, start)
        if start + 4 + count * size > len(self._data):
            raise ValueError("a vector leads out of the file")
        return start + 4, count

    def _follow(self, at: int) -> int:
        return at + _unpack("<I", self._data, at)


def _unpack(kind: str, data: memoryview, at: int) -> int:
    if at < 0:  # struct would count from the end
        raise ValueError("an offset leads out of the file")
    value: int = struct.unpack_from(kind, data, at)[0]
    return value
