"""Many decisions by their ids, a file at a time: what :meth:`JournalReader.find` does one by one, for a fraction of
it."""

from __future__ import annotations

import mmap
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import HEADER_SIZE, MAX_RECORD, OVERHEAD, RecordKind, scan
from quorate.codecs.lookup import COMPACTED, INDEX, JournalReader, Segment
from quorate.codecs.sidecar import Sidecar
from quorate.core.types import Decision
from quorate.errors import InvalidInput, JournalError
from quorate.ids import MAX_BOOT, MAX_SEQUENCE, MAX_SLOT, DecisionId

FEW = 24
"""So many of a file are looked up one by one; from there on the file is walked through once."""

_HEAD = struct.Struct("<IIBQ")
_LENGTH = _HEAD.size - struct.calcsize("<II")
_BODY_AT = struct.calcsize("<II")
_KINDS = frozenset(map(int, RecordKind))


def gather(reader: JournalReader, ids: Sequence[str]) -> Iterator[tuple[str, Decision | JournalError | None]]:
    """Each id once, with its decision, None where the journal has none, or the error with which reading it failed.

    They come by slot and in the order they were written; one file is read at a time.
    """
    wanted: dict[tuple[int, int, int], str] = {}
    odd: list[str] = []  # no ids of ours, or several that claim one place
    for text in ids:
        place = _place(text)
        if place is None or wanted.setdefault(place, text) != text:
            odd.append(text)
    yield from _one_by_one(reader, odd)
    files = reader.files()
    starts = [(segment.slot, segment.boot, segment.first) for segment in files]

    def file_of(item: tuple[tuple[int, int, int], str]) -> int:
        at = bisect_right(starts, item[0]) - 1
        return at if at >= 0 and starts[at][:2] == item[0][:2] else -1

    for at, group in groupby(sorted(wanted.items()), key=file_of):
        some = {place[2]: text for place, text in group}
        if at < 0 or len(some) <= FEW:
            yield from _one_by_one(reader, some.values())
        else:
            yield from _walked(reader, files[at], some)


def _place(text: str) -> tuple[int, int, int] | None:
    """Slot, boot and sequence of an id; whether it is one is found out by reading."""
    try:
        value = int(text.replace("-", ""), 16)
    except ValueError:
        return None
    return value >> 64 & MAX_SLOT, value >> 40 & MAX_BOOT, value & MAX_SEQUENCE


def _one_by_one(reader: JournalReader, ids: Iterable[str]) -> Iterator[tuple[str, Decision | JournalError | None]]:
    for text in ids:
        try:
            yield text, reader.find(text)
        except JournalError as error:
            yield text, error
        except InvalidInput:
            yield text, None


def _walked(
    reader: JournalReader, segment: Segment, wanted: dict[int, str]
) -> Iterator[tuple[str, Decision | JournalError | None]]:
    missing = dict(wanted)
    try:
        for sequence, decision in _compacted(segment, wanted) if segment.compacted else _written(segment.path, wanted):
            text = missing.pop(sequence, None)
            if text is not None:
                fits = isinstance(decision, JournalError) or decision.id == text
                yield text, decision if fits else None
    except FileNotFoundError:
        pass  # compacted or deleted meanwhile
    except JournalError as error:
        yield from ((text, error) for text in missing.values())
        return
    yield from _one_by_one(reader, list(missing.values()))


def _written(path: Path, wanted: dict[int, str]) -> Iterator[tuple[int, Decision | JournalError]]:
    """Of a segment's records those wanted. Only they are checked; where the hops from one to the next lead nowhere,
    the file is scanned."""
    with path.open("rb") as file:
        if len(file.read(HEADER_SIZE)) < HEADER_SIZE:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = scan(data[:HEADER_SIZE]).header
            salt = 0 if header is None else header.salt
            at, size, before, unpack = HEADER_SIZE, len(data), -1, _HEAD.unpack_from
            while at + OVERHEAD <= size:
                length, crc, kind, sequence = unpack(data, at)
                stop = at + _BODY_AT + length
                if not _LENGTH <= length <= MAX_RECORD or kind not in _KINDS or not before < sequence <= MAX_SEQUENCE:
                    break
                if stop > size:
                    return  # still being written
                if kind == RecordKind.DECISION and sequence in wanted:
                    body = data[at + _BODY_AT : stop]
                    if zlib.crc32(body, salt) != crc:
                        break
                    yield sequence, _decoded(body[_LENGTH:])
                at, before = stop, sequence
            else:
                return
    for record in scan(path, at):
        if record.kind == RecordKind.DECISION and record.sequence in wanted:
            yield record.sequence, _decoded(record.payload)


def _decoded(payload: bytes) -> Decision | JournalError:
    try:
        return decision_codec.decode(payload)
    except JournalError as error:
        return error


def _compacted(segment: Segment, wanted: dict[int, str]) -> Iterator[tuple[int, Decision]]:
    index = Sidecar(segment.beside(INDEX).read_bytes())
    rows = (index.row(DecisionId.parse(text)) for _, text in sorted(wanted.items()))
    yield from columnar.read_rows(segment.beside(COMPACTED), [row for row in rows if row is not None])
