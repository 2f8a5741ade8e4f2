"""Arrow IPC streams, message by message: what each weighs is known before it is held, unpacked buffers included.

Source: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format and ``Message.fbs`` beside it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from quorate.errors import MalformedRequest, TooLarge
from quorate.serving.bulk.feed import Feed

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
_CONTINUATION = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came, head included; ``dictionary`` is the id that a dictionary batch is about."""

    kind: int
    data: bytes
    dictionary: int | None = None
    delta: bool = False


class MessageReader:
    """Cuts a body into messages of at most ``limit`` bytes each, as sent and unpacked.

    :class:`MalformedRequest` where the body is no Arrow stream or ends inside a message, :class:`TooLarge`.
    """

    def __init__(self, feed: Feed, limit: int) -> None:
        self._feed = feed
        self._limit = limit
        self._held = bytearray()
        self._begun = False

    @property
    def ready(self) -> bool:
        """Whether more has come by now."""
        return bool(self._held) or self._feed.ready

    async def next(self) -> Message | None:
        """The next message; None at the end of the stream."""
        head = await self._read(4, at_end=self._begun)
        if head is None:
            return None
        self._begun = True
        length = _u32(head, 0)
        if length == _CONTINUATION:
            more = await self._need(4)
            head, length = head + more, _u32(more, 0)
        if length == 0:
            return None
        if length > self._limit:
            raise self._too_large()
        metadata = await self._need(length)
        try:
            kind, size, dictionary, delta, buffers = _described(metadata)
        except (struct.error, IndexError):
            raise _broken("a message's head cannot be read") from None
        if not 0 <= size <= self._limit:
            raise self._too_large()
        body = await self._need(size)
        if buffers is not None and _unpacked(body, buffers) > self._limit:
            raise self._too_large()
        return Message(kind, head + metadata + body, dictionary, delta)

    async def _need(self, size: int) -> bytes:
        found = await self._read(size)
        assert found is not None  # noqa: S101 - only at_end gives None
        return found

    async def _read(self, size: int, *, at_end: bool = False) -> bytes | None:
        while len(self._held) < size:
            piece = await self._feed.get()
            if piece is None:
                if at_end and not self._held:
                    return None
                raise _broken("it ends inside a message" if self._begun else "it ends before its schema")
            self._held += piece
        found = bytes(self._held[:size])
        del self._held[:size]
        return found

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"A record batch has more than {self._limit} bytes (limits.body_bytes); write smaller batches.", path="body"
        )


def _described(metadata: bytes) -> tuple[int, int, int | None, bool, list[tuple[int, int]] | None]:
    """Kind, bytes of the body, dictionary's id, whether a delta, and the buffers where they are compressed."""
    message = _Table(metadata, _u32(metadata, 0))
    kind = message.number(1, "<B")
    size = message.number(3, "<q")
    header = message.table(2)
    dictionary, delta = None, False
    if header is not None and kind == DICTIONARY:
        dictionary, delta = header.number(0, "<q"), bool(header.number(2, "<B"))
        header = header.table(1)
    if header is None or kind == SCHEMA or header.table(3) is None:
        return kind, size, dictionary, delta, None
    return kind, size, dictionary, delta, header.pairs(2)


def _unpacked(body: bytes, buffers: list[tuple[int, int]]) -> int:
    """Bytes of compressed buffers once unpacked: each says so in its first eight bytes (-1: it is not compressed)."""
    total = 0
    for offset, length in buffers:
        if length >= 8 and 0 <= offset <= len(body) - 8:
            (said,) = struct.unpack_from("<q", body, offset)
            total += length if said < 0 else said
    return total


class _Table:
    """A FlatBuffers table: just enough to look at three of its fields."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._at = position
        self._fields = position - _number(data, position, "<i")
        if self._fields < 0:
            raise struct.error

    def _field(self, index: int) -> int:
        size = _number(self._data, self._fields, "<H")
        at = 4 + 2 * index
        offset = _number(self._data, self._fields + at, "<H") if at + 2 <= size else 0
        return self._at + offset if offset else 0

    def number(self, index: int, kind: str) -> int:
        field = self._field(index)
        return _number(self._data, field, kind) if field else 0

    def table(self, index: int) -> _Table | None:
        field = self._field(index)
        return _Table(self._data, field + _u32(self._data, field)) if field else None

    def pairs(self, index: int) -> list[tuple[int, int]]:
        field = self._field(index)
        if not field:
            return []
        start = field + _u32(self._data, field)
        count = _u32(self._data, start)
        if count * 16 > len(self._data):
            raise struct.error
        return [struct.unpack_from("<qq", self._data, start + 4 + 16 * i) for i in range(count)]


def _number(data: bytes, at: int, kind: str) -> int:
    if at < 0:
        raise struct.error
    found: Any = struct.unpack_from(kind, data, at)[0]
    return int(found)


def _u32(data: bytes, at: int) -> int:
    return _number(data, at, "<I")


def _broken(why: str) -> MalformedRequest:
    return MalformedRequest(f"The body is not an Arrow stream: {why}.", path="body")
