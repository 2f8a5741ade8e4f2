"""NDJSON: one row a line, bare or in an envelope ``{"id", "instance", "context"}``; a bad line is that row's error."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quorate.codecs.snapshot import Limits
from quorate.core.types import Scalar
from quorate.errors import InvalidInput, QuorateError, TooLarge
from quorate.serving.bulk.feed import Feed
from quorate.serving.bulk.parts import Id, Part, about_row
from quorate.serving.inputs import Context, InputReader, check_context
from quorate.serving.sight import JsonSight, Seen, kind_of
from quorate.web import json

MAX_ID = 256
PART_BYTES = 1 << 22


class _Probe(msgspec.Struct):
    instance: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    instance: msgspec.Raw
    id: str | int | None = None
    context: Context = {}


_probe = msgspec.json.Decoder(_Probe)
_envelope = msgspec.json.Decoder(_Envelope)
_any = msgspec.json.Decoder(msgspec.Raw)


class Lines:
    """Cuts a stream into lines without blanks around them; blank ones are left out, too long ones are None.

    ``limit`` is bytes; what is beyond it is never held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0

    def push(self, piece: bytes) -> list[bytes | None]:
        """The lines that a piece ends."""
        first, *others = piece.split(b"\n")
        self._hold(first)
        if not others:
            return []
        lines = [*self.end(), *map(self._cut, others[:-1])]
        self._hold(others[-1])
        return [line for line in lines if line != b""]

    def end(self) -> list[bytes | None]:
        """What is left: the last line may have no end."""
        line = self._cut(b"".join(self._held)) if self._size <= self._limit else None
        self._held, self._size = [], 0
        return [] if line == b"" else [line]

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._held = []
        elif piece:
            self._held.append(piece)

    def _cut(self, line: bytes) -> bytes | None:
        return line.strip(b" \t\r") if len(line) <= self._limit else None


class _Item:
    """One line: its row as JSON, or why there is none."""

    __slots__ = ("context", "fault", "id", "row")

    def __init__(self, line: bytes | None, limits: Limits) -> None:
        self.row = b""
        self.id: Id = None
        self.context: Mapping[str, Scalar] = {}
        self.fault: QuorateError | None = None
        try:
            self._read(line, limits)
        except QuorateError as error:
            self.fault = error

    def _read(self, line: bytes | None, limits: Limits) -> None:
        if line is None:
            raise TooLarge(
                f"The line has more than {limits.body_bytes} bytes (limits.body_bytes); send less, or raise the limit.",
                path="instance",
            )
        if line[:1] != b"{":
            json.decode(line, depth=limits.json_depth, decoder=_any)
            self.row = line
            return
        if json.decode(line, depth=limits.json_depth, decoder=_probe).instance is msgspec.UNSET:
            self.row = line
            return
        envelope: _Envelope = json.decode(line, depth=limits.json_depth, decoder=_envelope)
        given = envelope.id
        if isinstance(given, str) and len(given) > MAX_ID:
            raise InvalidInput(f"The id has {len(given)} characters; at most {MAX_ID} are taken.", path="id")
        if isinstance(given, int) and not -(1 << 63) <= given < 1 << 63:
            raise InvalidInput("An id that is a number must fit 64 bits; send text.", path="id")
        self.id = given
        check_context(envelope.context)
        self.context = envelope.context
        self.row = bytes(envelope.instance)


class JsonPart:
    """Lines with one context; see :class:`~quorate.serving.bulk.parts.Part`."""

    def __init__(self, first: int, items: Sequence[_Item]) -> None:
        self.first = first
        self.count = len(items)
        self.context = items[0].context
        self.size = sum(len(item.row) for item in items)
        self.faults = {i: about_row(item.fault, first + i) for i, item in enumerate(items) if item.fault is not None}
        self._items = items

    def id(self, index: int) -> Id:
        """See :class:`~quorate.serving.bulk.parts.Part`."""
        return self._items[index].id

    def raw(self, indices: Sequence[int], reader: InputReader, limits: Limits) -> dict[str, Any]:
        """See :class:`~quorate.serving.bulk.parts.Part`; exactly what ``predict`` does with these rows."""
        rows = b",".join(self._items[i].row for i in indices)
        return reader.decode(b'{"instances":[' + rows + b"]}", limits)[1]

    def digest(self, indices: Sequence[int]) -> bytes:
        """See :class:`~quorate.serving.bulk.parts.Part`."""
        return hashlib.sha256(b"\n".join(self._items[i].row for i in indices)).digest()

    def seen(self, index: int, arrived: float, limits: Limits) -> Seen:
        """See :class:`~quorate.serving.bulk.parts.Part`."""
        row = self._items[index].row
        return Seen(kind_of(row), 1, len(row), arrived, self.context, JsonSight([row], limits))


class NdjsonSource:
    """Reads lines; see :class:`~quorate.serving.bulk.parts.Source`."""

    def __init__(self, feed: Feed, limits: Limits) -> None:
        self.ignored: Sequence[str] = ()
        self._feed = feed
        self._limits = limits
        self._lines = Lines(limits.body_bytes)
        self._waiting: deque[bytes | None] = deque()
        self._number = 0
        self._ended = False

    async def take(self, rows: int) -> Sequence[Part] | None:
        """See :class:`~quorate.serving.bulk.parts.Source`; more input is waited for only where no line is there."""
        while not self._ended and (not self._waiting or (self._feed.ready and len(self._waiting) < rows)):
            piece = await self._feed.get()
            self._waiting.extend(self._lines.end() if piece is None else self._lines.push(piece))
            self._ended = piece is None
        if not self._waiting:
            return None
        items: list[_Item] = []
        size = 0
        while self._waiting and len(items) < rows and size < PART_BYTES:
            items.append(_Item(self._waiting.popleft(), self._limits))
            size += len(items[-1].row)
        parts: list[Part] = []
        begin = 0
        for end in range(1, len(items) + 1):
            if end == len(items) or items[end].context != items[begin].context:
                parts.append(JsonPart(self._number + begin, items[begin:end]))
                begin = end
        self._number += len(items)
        return parts

    def close(self) -> None:
        """See :class:`~quorate.serving.bulk.parts.Source`."""
