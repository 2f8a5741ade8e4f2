"""Reads FlatBuffers without a schema's generated code, and never beyond the end of the bytes.

The format is https://flatbuffers.dev/internals: a table begins with the signed distance back to its vtable, which lists
where in the table its fields are; strings, vectors and other tables are reached by unsigned distances forward.
"""

from __future__ import annotations

import struct
from typing import Final

_FORMATS: Final = {code: struct.Struct(f"<{code}") for code in "BbHhIiQqf"}
_OFFSET = 4


class Malformed(ValueError):
    """The bytes are not well-formed; the message says why."""


class View:
    """Bytes as a FlatBuffer. Positions are counted from its first byte; 0 stands for a field that is not there.

    Every method raises :class:`Malformed` where something lies outside the bytes.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, code: str, at: int) -> int:
        """The little-endian number of that :mod:`struct` code at a position."""
        try:
            value: int = _FORMATS[code].unpack_from(self.data, at)[0]
        except struct.error:
            raise Malformed(f"it is cut off: there is no number at byte {at} of {len(self.data)}") from None
        return value

    def follow(self, at: int) -> int:
        """Where the offset at a position points to: always forward, so nothing can be its own part."""
        distance = self.number("I", at)
        if distance < _OFFSET or at + distance + _OFFSET > len(self.data):
            raise Malformed(f"the offset at byte {at} leads nowhere")
        return at + distance

    def fields(self, table: int) -> tuple[int, ...]:
        """Positions of a table's fields in the order of its schema, as many as its writer knew of."""
        vtable = table - self.number("i", table)
        if vtable < 0:
            raise Malformed(f"the table at byte {table} has its vtable outside")
        size, length = self.number("H", vtable), self.number("H", vtable + 2)
        if size < 4 or size % 2 or vtable + size > len(self.data):
            raise Malformed(f"the vtable at byte {vtable} is cut off")
        if length < _OFFSET or table + length > len(self.data):
            raise Malformed(f"the table at byte {table} is cut off")
        places = struct.unpack_from(f"<{size // 2 - 2}H", self.data, vtable + 4)
        if any(place and not _OFFSET <= place < length for place in places):
            raise Malformed(f"the table at byte {table} has a field outside")
        return tuple(table + place if place else 0 for place in places)

    def vector(self, at: int, width: int) -> tuple[int, int]:
        """Where the vector that a field refers to has its first element, and how many of ``width`` bytes there are."""
        start = self.follow(at)
        count = self.number("I", start)
        if start + _OFFSET + count * width > len(self.data):
            raise Malformed(f"the list at byte {start} is cut off")
        return start + _OFFSET, count

    def tables(self, at: int) -> list[int]:
        """Positions of the tables in the vector that a field refers to; of none where it is not there."""
        if not at:
            return []
        start, count = self.vector(at, _OFFSET)
        return [self.follow(start + _OFFSET * index) for index in range(count)]

    def numbers(self, at: int, code: str) -> tuple[int, ...]:
        """The numbers in the vector that a field refers to; none where it is not there."""
        if not at:
            return ()
        start, count = self.vector(at, _FORMATS[code].size)
        return struct.unpack_from(f"<{count}{code}", self.data, start)

    def text(self, at: int) -> str:
        """The string that a field refers to, what is no UTF-8 escaped; empty where it is not there."""
        if not at:
            return ""
        start, count = self.vector(at, 1)
        if self.data[start + count : start + count + 1] != b"\0":
            raise Malformed(f"the text at byte {start} does not end")
        return self.data[start : start + count].decode("utf-8", "backslashreplace")


def field(fields: tuple[int, ...], index: int) -> int:
    """The position of one field; 0 where it is not there, or its writer did not know of it.

    >>> field((0, 12), 1), field((0, 12), 7)
    (12, 0)
    """
    return fields[index] if index < len(fields) else 0
