"""The journal's segment format: an append-only file of checksummed records that is readable after any crash.

A segment is ``journal/<slot>/<boot>-<first sequence>.qj`` (both numbers zero-padded): a header, then records.
All integers are little-endian::

    header   magic "QJRN" · format u16 · slot u16 · boot u32 · first sequence u64 · created u64 (Unix ns)
             · salt u32 · CRC-32 u32 of the 32 bytes before it
    record   length u32 (bytes after the checksum) · CRC-32 u32 of them, started at the salt
             · kind u8 · sequence u64 · payload

Sequences grow with every record of a boot, decisions and outcomes alike, so the segment of a decision is the last
one of its boot whose first sequence is not greater. The salt is random: bytes that merely look like a record (left
over from another file, or put into a request on purpose) do not pass as one.

Reading never stops at damage. A record that fails its checksum is skipped: reading goes on at the next position
where a record passes, and the skipped range is reported. Bytes after the last record that passes are the tail: a
record still being written, one torn by a crash, or damage that cannot be told from either.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from enum import IntEnum
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quorate.errors import JournalError, TooLarge
from quorate.ids import MAX_BOOT, MAX_SEQUENCE

MAGIC = b"QJRN"
FORMAT = 1
READS = (1,)
MAX_RECORD = 1 << 30

_HEADER = struct.Struct("<4sHHIQQI")
_CRC = struct.Struct("<I")
_PREFIX = struct.Struct("<II")
_BODY = struct.Struct("<BQ")
_HEAD = struct.Struct("<IIBQ")  # prefix and body
HEADER_SIZE = _HEADER.size + _CRC.size
OVERHEAD = _PREFIX.size + _BODY.size
_WINDOW = 1 << 20


class RecordKind(IntEnum):
    """What a record holds: an encoded decision, outcome, change or captured input, or nothing, at the end of a complete
    segment."""

    DECISION = 1
    OUTCOME = 2
    SEAL = 3
    CHANGE = 4
    CAPTURE = 5


_DECISION, _SEAL = int(RecordKind.DECISION), int(RecordKind.SEAL)  # compared much faster than members of an enum


class Header(NamedTuple):
    """What a segment says of itself; ``created`` is Unix nanoseconds, ``salt`` starts every record's checksum."""

    slot: int
    boot: int
    first: int
    created: int
    salt: int


class Record(NamedTuple):
    """One record and where it lies: ``[offset, end)`` in its segment."""

    kind: int
    sequence: int
    payload: bytes
    offset: int
    end: int


class Damage(NamedTuple):
    """A range of bytes between valid records that holds none."""

    offset: int
    length: int


class Passed(NamedTuple):
    """A stretch ``[start, end)`` of a segment, and the sequences and offsets (uint64) of the decisions in it;
    ``sealed`` where it ends with the seal."""

    start: int
    end: int
    sealed: bool
    sequences: array[int]
    offsets: array[int]


def segment_name(boot: int, first: int) -> str:
    """The file name of a segment; names of one slot sort in the order they were written.

    >>> segment_name(3, 42)
    '0000003-0000000000042.qj'
    """
    return f"{boot:07d}-{first:013d}.qj"


def parse_name(name: str) -> tuple[int, int] | None:
    """``(boot, first sequence)`` of a segment's file name; None if it is not one."""
    stem, dot, extension = name.rpartition(".")
    boot, dash, first = stem.partition("-")
    if not (dot and dash and extension == "qj" and boot.isdecimal() and first.isdecimal()):
        return None
    found = int(boot), int(first)
    return found if found[0] <= MAX_BOOT and found[1] <= MAX_SEQUENCE and segment_name(*found) == name else None


def parse_stem(name: str) -> tuple[int, int] | None:
    """``(boot, first sequence)`` of any file that belongs to a segment, whatever became of it; None for others."""
    return parse_name(name.partition(".")[0] + ".qj")


def encode_header(header: Header) -> bytes:
    """The first bytes of a segment."""
    body = _HEADER.pack(MAGIC, FORMAT, *header)
    return body + _CRC.pack(zlib.crc32(body))


def encode_record(kind: int, sequence: int, payload: bytes, salt: int) -> bytes:
    """One record; :class:`TooLarge` if it exceeds ``MAX_RECORD`` bytes."""
    body = _BODY.pack(kind, sequence) + payload
    if len(body) > MAX_RECORD:
        raise TooLarge(f"A journal record may have {MAX_RECORD} bytes; got {len(body)}. Send fewer rows per request.")
    return _PREFIX.pack(len(body), zlib.crc32(body, salt)) + body


def frame(kind: int, first: int, payloads: Iterable[bytes], salt: int, parts: list[bytes]) -> None:
    """Append the pieces of records with consecutive sequences, from ``first`` on, to ``parts``: joined, they are what
    :func:`encode_record` gives one by one. No payload is copied, and none is checked against ``MAX_RECORD``."""
    pack_body, pack_prefix, crc32, add, extra = _BODY.pack, _PREFIX.pack, zlib.crc32, parts.append, _BODY.size
    for sequence, payload in enumerate(payloads, first):
        body = pack_body(kind, sequence)
        add(pack_prefix(extra + len(payload), crc32(payload, crc32(body, salt))))
        add(body)
        add(payload)


class Scan:
    """An iterator over the records of a segment, from a given offset on.

    While iterating, ``end`` is the offset after the last valid record (where a later scan goes on), ``damage`` the
    skipped ranges, ``sealed`` whether the writer declared the segment complete. Afterwards ``tail`` is the
    number of bytes behind ``end``. ``header`` is None while the file is too short to hold one.
    """

    def __init__(self, head: bytes, data: bytes | memoryview, offset: int) -> None:
        self.header: Header | None = None
        self.damage: list[Damage] = []
        self.sealed = False
        self._view = memoryview(data)
        self._salt = 0
        self._base = max(offset, HEADER_SIZE)
        self._start = offset
        self._sequences, self._offsets = array("Q"), array("Q")
        self.end = offset
        if len(head) == HEADER_SIZE:
            self.header, intact = _decode_header(head)
            self._salt = self.header.salt
            if not intact and offset == 0:
                self.damage.append(Damage(0, HEADER_SIZE))
            self.end = self._base

    @property
    def tail(self) -> int:
        """Bytes after ``end``: none in a segment that was closed in good order."""
        return self._base + len(self._view) - self.end if self.header else 0

    def __iter__(self) -> Iterator[Record]:
        if self.header is None:
            return
        position, size = 0, len(self._view)
        view, salt, base, unpack, crc32 = self._view, self._salt, self._base, _HEAD.unpack_from, zlib.crc32
        while not self.sealed:
            if position + OVERHEAD <= size:
                length, crc, kind, sequence = unpack(view, position)
                stop = position + _PREFIX.size + length
                if _BODY.size <= length <= MAX_RECORD and stop <= size:
                    body = view[position + _PREFIX.size : stop]
                    if crc32(body, salt) == crc:
                        at, self.end = base + position, base + stop
                        self.sealed = kind == _SEAL
                        if kind == _DECISION:
                            self._sequences.append(sequence)
                            self._offsets.append(at)
                        yield Record(kind, sequence, bytes(body[_BODY.size :]), at, self.end)
                        position = stop
                        continue
            found = self._resync(position + 1)
            if found is None:
                return
            self.damage.append(Damage(base + position, found - position))
            position = found

    def passed(self) -> Passed:
        """Where the decisions lie that were iterated over since this was asked last."""
        found = Passed(self._start, self.end, self.sealed, self._sequences, self._offsets)
        self._start, self._sequences, self._offsets = self.end, array("Q"), array("Q")
        return found

    def _valid(self, position: int) -> bool:
        """Whether a record begins here; its head was checked."""
        length, crc = _PREFIX.unpack_from(self._view, position)
        start = position + _PREFIX.size
        return bool(zlib.crc32(self._view[start : start + length], self._salt) == crc)

    def _resync(self, position: int) -> int | None:
        """The next position at which a valid record begins; candidates are sieved before any checksum is computed."""
        size = len(self._view)
        for start in range(position, size - OVERHEAD + 1, _WINDOW):
            window = np.frombuffer(self._view[start : start + _WINDOW + OVERHEAD], np.uint8)
            count = min(_WINDOW, len(window) - OVERHEAD + 1)
            kinds = window[8 : 8 + count]
            maybe = (kinds >= min(RecordKind)) & (kinds <= max(RecordKind))
            for high in (14, 15, 16):  # sequences have 40 bits, so the upper three bytes are zero
                maybe &= window[high : high + count] == 0
            at = np.flatnonzero(maybe)
            length = sum(window[at + i].astype(np.int64) << 8 * i for i in range(4))
            fits = (length >= _BODY.size) & (length <= MAX_RECORD) & (start + at + _PREFIX.size + length <= size)
            for candidate in at[fits].tolist():
                if self._valid(start + candidate):
                    return start + int(candidate)
        return None


def scan(source: bytes | Path, offset: int = 0) -> Scan:
    """Read a segment, given whole or as a path, from ``offset`` (0, or the ``end`` of an earlier scan).

    Raises :class:`JournalError` for a format this release cannot read, and ``OSError``.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(HEADER_SIZE)
            file.seek(max(offset, HEADER_SIZE))
            return Scan(head, file.read(), offset)
    return Scan(source[:HEADER_SIZE], memoryview(source)[max(offset, HEADER_SIZE) :], offset)


def read_record(path: Path, offset: int) -> Record | None:
    """The record at an offset that a scan gave; None if no valid one is there. Raises ``OSError``."""
    with path.open("rb") as file:
        head = file.read(HEADER_SIZE)
        file.seek(offset)
        data = file.read(OVERHEAD)
        if len(head) < HEADER_SIZE or len(data) < OVERHEAD:
            return None
        length, _ = _PREFIX.unpack_from(data)
        if not _BODY.size <= length <= MAX_RECORD:
            return None
        return next(iter(Scan(head, data + file.read(length - _BODY.size), offset)), None)


def payload_at(data: bytes | mmap, offset: int, sequence: int, salt: int) -> bytes | None:
    """The payload of the decision at an offset of a whole segment; None if no valid one of that sequence is there."""
    if offset + OVERHEAD > len(data):
        return None
    length, crc, kind, found = _HEAD.unpack_from(data, offset)
    if kind != _DECISION or found != sequence or not _BODY.size <= length <= MAX_RECORD:
        return None
    start = offset + _PREFIX.size
    body = data[start : start + length]
    return body[_BODY.size :] if len(body) == length and zlib.crc32(body, salt) == crc else None


def decision_in(data: bytes, sequence: int, salt: int) -> bytes | None:
    """The payload of the decision of that sequence, wherever it lies in a segment or ring; None if none is valid."""
    head = _BODY.pack(_DECISION, sequence)
    at = data.find(head, HEADER_SIZE + _PREFIX.size)
    while at >= 0:
        found = payload_at(data, at - _PREFIX.size, sequence, salt)
        if found is not None:
            return found
        at = data.find(head, at + 1)
    return None


def _decode_header(head: bytes) -> tuple[Header, bool]:
    """The header, and whether it is intact; a damaged one is used as it is, since the records check themselves."""
    magic, version, *fields = _HEADER.unpack_from(head)
    intact = magic == MAGIC and _CRC.unpack_from(head, _HEADER.size)[0] == zlib.crc32(head[: _HEADER.size])
    if intact and version not in READS:
        raise JournalError(f"A journal segment has format {version}; this release reads {READS}. Upgrade Quorate.")
    return Header(*fields), intact
