"""The small index beside a compacted file: what must be known of its decisions without reading Parquet.

``<boot>-<first>.qx`` lies beside ``<boot>-<first>.parquet``. With it a worker finds out whether a decision exists and
what an outcome for it must look like, with numpy alone. All integers are little-endian::

    magic "QJIX" · format u16 · reserved u16 · length of the table u32 · count u32 · CRC-32 u32 of all that follows
    table        MessagePack: a list of [endpoint, output kind, classes]
    sequences    u64[count], ascending        milliseconds  u64[count] (of the ids)
    rows         u32[count]                   entry         u32[count] (in the table)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from quorate.core.types import Decision, OutputKind
from quorate.errors import InvalidInput, JournalError
from quorate.ids import DecisionId

FORMAT = 1
READS = (1,)
_HEADER = struct.Struct("<4sHHIII")
_NO_ID = 2**64 - 1
_COLUMNS = ("<u8", "<u8", "<u4", "<u4")


class Outline(NamedTuple):
    """What an outcome must fit: the rows of a decision, and the classes of its endpoint."""

    endpoint: str
    output_kind: OutputKind
    classes: tuple[str, ...]
    rows: int


class Sidecar:
    """The index of one compacted file."""

    def __init__(self, data: bytes) -> None:
        """Read it; :class:`JournalError` for a format this release does not know, or a damaged one."""
        magic, version, _, length, count, crc = (
            _HEADER.unpack_from(data) if len(data) >= _HEADER.size else (b"", 0, 0, 0, 0, 0)
        )
        if magic == b"QJIX" and version not in READS:
            raise JournalError(f"A journal index has format {version}; this release reads {READS}. Upgrade Quorate.")
        body = memoryview(data)[_HEADER.size :]
        if magic != b"QJIX" or zlib.crc32(body) != crc or len(body) != length + 24 * count:
            raise JournalError("A journal index is damaged; restore it from a backup.")
        self._table = msgspec.msgpack.decode(body[:length], type=list[tuple[str, OutputKind, tuple[str, ...]]])
        columns, start = [], length
        for dtype in _COLUMNS:
            columns.append(np.frombuffer(body, dtype, count, start))
            start += columns[-1].nbytes
        self._sequences, self._milliseconds, self._rows, self._entries = columns

    def row(self, wanted: DecisionId) -> int | None:
        """Where the decision is in the file; None if no decision in it has that id."""
        at = int(np.searchsorted(self._sequences, np.uint64(wanted.sequence)))
        if at == len(self._sequences) or int(self._sequences[at]) != wanted.sequence:
            return None
        return at if int(self._milliseconds[at]) == wanted.milliseconds else None

    def outline(self, row: int) -> Outline:
        """What is known of the decision in that row."""
        return Outline(*self._table[int(self._entries[row])], int(self._rows[row]))

    @property
    def oldest(self) -> float | None:
        """When the oldest decision was made, Unix seconds; None where there is none."""
        known = self._milliseconds[self._milliseconds != _NO_ID]
        return float(known.min()) / 1000 if len(known) else None

    @property
    def newest(self) -> int:
        """The sequence of the newest decision; -1 where there is none."""
        return int(self._sequences[-1]) if len(self._sequences) else -1

    def __len__(self) -> int:
        return len(self._sequences)


def encode(rows: Iterable[tuple[int, Decision]], slot: int, boot: int) -> bytes:
    """The index of decisions with their sequences, ascending, as they are in the file."""
    table: dict[tuple[str, str, tuple[str, ...]], int] = {}
    columns: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
    for sequence, d in rows:
        entry = table.setdefault((d.endpoint, d.output_kind, d.classes), len(table))
        values = (sequence, _milliseconds(d.id, slot, boot, sequence), d.rows, entry)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    head = msgspec.msgpack.encode(list(table))
    body = head + b"".join(np.array(c, t).tobytes() for c, t in zip(columns, _COLUMNS, strict=True))
    return _HEADER.pack(b"QJIX", FORMAT, 0, len(head), len(columns[0]), zlib.crc32(body)) + body


def _milliseconds(text: str, slot: int, boot: int, sequence: int) -> int:
    """The time in an id that belongs where it lies; any other cannot be looked up."""
    try:
        found = DecisionId.parse(text)
    except InvalidInput:
        return _NO_ID
    fits = str(found) == text and found[1:] == (slot, boot, sequence)
    return found.milliseconds if fits else _NO_ID
