"""Protocol buffers on the wire, for readers of a few fields. Nothing is run; stdlib only.

https://protobuf.dev/programming-guides/encoding. A field that must stand once and stands twice is
refused: parsers differ in what they make of that.
"""

from __future__ import annotations

from collections.abc import Iterator

_FIXED = {1: 8, 5: 4}  # bytes, by wire type
_VARINT, _BYTES = 0, 2


class Message:
    """A message's fields by number.

    Raises:
        ValueError, IndexError: here and in every method: the bytes are no such message.
    """

    def __init__(self, data: memoryview) -> None:
        self._fields: dict[int, list[int | memoryview]] = {}
        at, end = 0, len(data)
        while at < end:
            key, at = _varint(data, at)
            kind = key & 7
            if kind == _VARINT:
                value: int | memoryview
                value, at = _varint(data, at)
            else:
                if kind == _BYTES:
                    size, at = _varint(data, at)
                else:
                    size = _FIXED.get(kind, end)  # the others are groups, long out of use
                value, at = data[at : at + size], at + size
                if at > end:
                    raise ValueError("a field is cut short")
            self._fields.setdefault(key >> 3, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def has_any(self, numbers: frozenset[int]) -> bool:
        """Whether one of the fields is there."""
        return not numbers.isdisjoint(self._fields)

    def messages(self, number: int) -> Iterator[Message]:
        """Yield the messages of a repeated field."""
        return (Message(_bytes(value)) for value in self._fields.get(number, []))

    def message(self, number: int) -> Message:
        """Return a message that stands once, or an empty one."""
        return Message(self.bytes(number))

    def bytes(self, number: int) -> memoryview:
        """Return bytes that stand once, or none."""
        return _bytes(self._one(number, memoryview(b"")))

    def text(self, number: int) -> str:
        """Return a text that stands once, or an empty one."""
        return str(self.bytes(number), "utf-8")

    def texts(self, number: int) -> list[str]:
        """Return a repeated field's texts."""
        return [str(_bytes(value), "utf-8") for value in self._fields.get(number, [])]

    def integer(self, number: int) -> int:
        """Return an integer that stands once, or 0."""
        value = self._one(number, 0)
        if not isinstance(value, int):
            raise ValueError("a field has another type")
        return _signed(value)

    def integers(self, number: int) -> list[int]:
        """Return a repeated field's integers, packed or not."""
        found: list[int] = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                found.append(_signed(value))
                continue
            at = 0
            while at < len(value):
                integer, at = _varint(value, at)
                found.append(_signed(integer))
        return found

    def joined(self, number: int) -> memoryview:
        """Return the bytes of a repeated field of numbers of a fixed size, packed or not."""
        return memoryview(b"".join(_bytes(value) for value in self._fields.get(number, [])))

    def size(self, number: int) -> int:
        """Return the bytes of a repeated field, or how many integers, whichever is fewer."""
        return sum(1 if isinstance(v, int) else len(v) for v in self._fields.get(number, []))

    def _one(self, number: int, default: int | memoryview) -> int | memoryview:
        values = self._fields.get(number)
        if values is None:
            return default
        if len(values) > 1:
            raise ValueError("a field stands twice")
        return values[0]


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a field has another type")
    return value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:  # most are: a third of the time
        return byte, at + 1
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
        shift += 7
        if shift > 63:
            raise ValueError("an integer has more than 64 bits")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
