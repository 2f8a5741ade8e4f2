"""The newest decisions of an endpoint, read from the ends of the journals backwards: no more than is asked for."""

from __future__ import annotations

import heapq
import mmap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from quorate.codecs import columnar
from quorate.codecs import decision as decision_codec
from quorate.codecs.decision import Packed
from quorate.codecs.journal import HEADER_SIZE, payload_at, scan
from quorate.codecs.lookup import COMPACTED, INDEX, JournalReader, Segment
from quorate.codecs.sidecar import Sidecar
from quorate.errors import JournalError

AT_ONCE = 64
"""Records of a segment that are in memory at a time."""


def newest(reader: JournalReader, endpoint: str, *, looked: int) -> Iterator[Packed]:
    """Decisions of an endpoint, the newest first: of several slots by arrival, within a slot as they were written.

    At most ``looked`` decisions of any endpoint are read, shared evenly by the slots. What cannot be read (damaged, or
    compacted where the extra ``arrow`` is not installed) is left out.
    """
    slots = [list(segments)[::-1] for _, segments in groupby(reader.files(), key=lambda each: each.slot)]
    streams = [_of_slot(reader, segments, endpoint, max(1, looked // len(slots))) for segments in slots]
    yield from heapq.merge(*streams, key=lambda each: each.arrived, reverse=True)


def _of_slot(reader: JournalReader, segments: list[Segment], endpoint: str, looked: int) -> Iterator[Packed]:
    for segment in segments:
        read = _compacted if segment.compacted else _written
        for decision in read(reader, segment, looked):
            if decision is not None and decision.endpoint == endpoint:
                yield decision
            looked -= 1
            if not looked:
                return


def _written(reader: JournalReader, segment: Segment, most: int) -> Iterator[Packed | None]:
    begun = False
    try:
        sequences, offsets = reader.last(segment, most)
        while sequences:
            found = _records(segment.path, sequences[-AT_ONCE:][::-1], offsets[-AT_ONCE:][::-1])
            begun = True
            yield from found
            del sequences[-AT_ONCE:], offsets[-AT_ONCE:]
    except FileNotFoundError:  # compacted or deleted meanwhile
        if not begun:
            yield from _compacted(reader, segment._replace(path=segment.beside(COMPACTED)), most)
    except JournalError:
        return


def _records(path: Path, sequences: list[int], offsets: list[int]) -> list[Packed | None]:
    found: list[Packed | None] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = scan(data[:HEADER_SIZE]).header
        salt = 0 if header is None else header.salt
        for sequence, offset in zip(sequences, offsets, strict=True):
            payload = payload_at(data, offset, sequence, salt)
            try:
                found.append(None if payload is None else decision_codec.packed(payload))
            except JournalError:  # of a release too new to read
                found.append(None)
    return found


def _compacted(reader: JournalReader, segment: Segment, most: int) -> Iterator[Packed | None]:
    try:
        last = len(Sidecar(segment.beside(INDEX).read_bytes())) - 1
        while last >= 0:
            last, decisions = columnar.read_group(segment.path, last)
            yield from (decision_codec.pack(decision) for decision in reversed(decisions))
            last -= 1
    except (FileNotFoundError, JournalError):
        return
