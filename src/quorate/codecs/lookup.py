"""Finding decisions in the journal by their id: the id says in which file the record lies.

A segment is a ``.qj`` file, or, once compacted, a ``.parquet`` file with a ``.qx`` index beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.codecs import columnar, ring
from quorate.codecs import decision as decision_codec
from quorate.codecs.journal import Passed, Record, RecordKind, parse_stem, read_record, scan
from quorate.codecs.offsets import Offsets
from quorate.codecs.sidecar import Outline, Sidecar
from quorate.core.types import Decision
from quorate.ids import DecisionId

COMPACTED = ".parquet"
OUTCOMES = ".outcomes.parquet"
INDEX = ".qx"


class Segment(NamedTuple):
    """One segment on disk; segments of a slot sort in the order they were written."""

    slot: int
    boot: int
    first: int
    path: Path

    @property
    def compacted(self) -> bool:
        """Whether it is columns now."""
        return self.path.suffix == COMPACTED

    def beside(self, suffix: str) -> Path:
        """The file of the same segment with that suffix."""
        return self.path.with_name(self.path.name.partition(".")[0] + suffix)


class JournalReader:
    """Reads the journals of all slots under ``root``, while they are being written; safe for threads.

    The offsets of the ``cached`` last used segments stay in memory (16 bytes a decision).
    """

    def __init__(self, root: Path, *, cached: int = 16) -> None:
        self._root = root
        self._cached = cached
        self._indexes: OrderedDict[Path, Offsets | Sidecar] = OrderedDict()
        self._listed: dict[int, list[Segment]] = {}
        self._lock = Lock()
        self._group: tuple[Path, int, list[Decision]] = (root, 0, [])

    def segments(self) -> list[Segment]:
        """Every segment that is not compacted, by slot, and in the order written."""
        return [segment for segment in self.files() if not segment.compacted]

    def files(self) -> list[Segment]:
        """Every segment there is, compacted or not, by slot, and in the order written."""
        return [segment for folder in self.folders() for segment in self._list(int(folder.name))]

    def folders(self) -> list[Path]:
        """The folders of all slots, in their order."""
        try:
            found = [folder for folder in self._root.iterdir() if folder.name.isdecimal()]
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda folder: int(folder.name))

    def decisions(self) -> Iterator[Decision]:
        """Every decision that is kept, by slot and in the order written; raises as :meth:`find`."""
        for folder in self.folders():
            # Looked at before the segments: what is in a ring stays there until they have it.
            newest = {boot: _decisions(records) for boot, records in ring.newest(folder).items()}
            last = dict.fromkeys(newest, -1)
            for segment in self._list(int(folder.name)):
                if segment.boot in last:  # what came before it is on the disk, or was
                    last[segment.boot] = max(last[segment.boot], segment.first - 1)
                for found in self._decisions_of(segment):
                    yield found
                    if segment.boot in last:
                        last[segment.boot] = DecisionId.parse(found.id).sequence
            for boot, made in newest.items():
                yield from (found for found in made if DecisionId.parse(found.id).sequence > last[boot])

    def _decisions_of(self, segment: Segment) -> Iterator[Decision]:
        if not segment.compacted:
            with suppress(FileNotFoundError):  # compacted meanwhile, or deleted
                yield from _decisions(list(scan(segment.path)))
                return
        with suppress(FileNotFoundError):
            yield from (decision for _, decision in columnar.read_decisions(segment.beside(COMPACTED)))

    def find(self, decision_id: str | DecisionId) -> Decision | None:
        """The decision of that id, or None if it is not (or not yet, or no longer) in the journal.

        Raises :class:`~quorate.errors.InvalidInput` for what is not an id, and
        :class:`~quorate.errors.JournalError` for a record of a release too new to read, or one in a compacted file
        where the extra ``arrow`` is not installed.
        """
        found = self._find(decision_id)
        return found.whole() if isinstance(found, _Columns) else found

    def find_next(self, decision_id: str | DecisionId) -> Decision | None:
        """As :meth:`find`, for ids that come in the order written: what is stored together is read once."""
        found = self._find(decision_id)
        if not isinstance(found, _Columns):
            return found
        path, first, decisions = self._group
        if path != found.path or not first <= found.row < first + len(decisions):
            try:
                first, decisions = columnar.read_group(found.path, found.row)
            except FileNotFoundError:
                return None
            self._group = (found.path, first, decisions)
        return decisions[found.row - first]

    def outline(self, decision_id: str | DecisionId) -> Outline | None:
        """What an outcome for the decision of that id must fit, or None; needs no extra. Raises as :meth:`find`."""
        found = self._find(decision_id)
        if isinstance(found, Decision):
            return Outline(found.endpoint, found.output_kind, found.classes, found.rows)
        return found.outline if found is not None else None

    def offsets(self, segment: Segment, sequences: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where the decisions of those sequences lie in a segment that is not compacted, -1 where it has none.

        ``OSError`` where it is gone by now, :class:`~quorate.errors.JournalError` where it cannot be read.
        """
        with self._lock:
            index = self._indexes.get(segment.path)
            if isinstance(index, Offsets):  # what others passed on may do; if not, the rest is read
                index.belongs(segment.path)
                found = index.of(sequences)
                if (found >= 0).all():
                    self._indexes.move_to_end(segment.path)
                    return found
            index = self._index(segment)
            return index.of(sequences) if isinstance(index, Offsets) else np.full(sequences.shape, -1, np.int64)

    def last(self, segment: Segment, count: int) -> tuple[list[int], list[int]]:
        """Sequences and offsets of the newest so many decisions of a segment that is not compacted, the oldest first.

        Raises as :meth:`offsets` does.
        """
        with self._lock:
            index = self._index(segment)
            return index.last(count) if isinstance(index, Offsets) else ([], [])

    def passed(self, segment: Segment, passed: Passed) -> None:
        """Take it from who just read a stretch of a segment where its decisions lie; it is not read for that again.

        Only for who knows that no other segment was put in its place meanwhile: the holder of the ingest lock.
        """
        with self._lock:
            index = self._indexes.get(segment.path)
            if index is None and passed.start == 0:
                index = self._indexes[segment.path] = Offsets()
                self._shrink()
            if isinstance(index, Offsets):
                with suppress(FileNotFoundError):  # gone meanwhile
                    index.extend(segment.path, passed)

    def _find(self, decision_id: str | DecisionId) -> Decision | _Columns | None:
        wanted = DecisionId.parse(decision_id) if isinstance(decision_id, str) else decision_id
        with self._lock:
            known = self._segment(wanted, self._listed.get(wanted.slot, []))
            found = self._read(known, wanted) if known is not None else None
            if found is None:
                # The list may be old: a segment was begun, compacted or removed since.
                self._listed[wanted.slot] = self._list(wanted.slot)
                fresh = self._segment(wanted, self._listed[wanted.slot])
                if fresh is not None and fresh != known:
                    found = self._read(fresh, wanted)
                if found is None and fresh is not None:
                    found = self._newest(wanted) or self._read(fresh, wanted)  # it may have got there meanwhile
        return found

    def _newest(self, wanted: DecisionId) -> Decision | None:
        """A decision that its worker has not brought to the disk yet."""
        payload = ring.find(self._root / str(wanted.slot), wanted.boot, wanted.sequence)
        return None if payload is None else _decoded(payload, wanted)

    def _list(self, slot: int) -> list[Segment]:
        folder = self._root / str(slot)
        try:
            names = sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []
        listed: dict[tuple[int, int], Segment] = {}
        for name in names:
            _, dot, suffix = name.partition(".")
            parts = parse_stem(name) if dot + suffix in (".qj", COMPACTED) else None
            # While both are there the segment is the one that counts: "parquet" sorts before "qj".
            if parts is not None:
                listed[parts] = Segment(slot, *parts, folder / name)
        return list(listed.values())

    def _segment(self, wanted: DecisionId, listed: list[Segment]) -> Segment | None:
        """The last segment of the boot that begins at or before the sequence."""
        at = bisect_left(listed, (wanted.boot, wanted.sequence + 1), key=lambda s: (s.boot, s.first)) - 1
        return listed[at] if at >= 0 and listed[at].boot == wanted.boot else None

    def _read(self, segment: Segment, wanted: DecisionId) -> Decision | _Columns | None:
        try:
            index = self._index(segment)
            if isinstance(index, Sidecar):
                row = index.row(wanted)
                return None if row is None else _Columns(segment.path, row, index.outline(row))
            offset = index.offset(wanted.sequence)
            record = None if offset is None else read_record(segment.path, offset)
        except FileNotFoundError:
            self._indexes.pop(segment.path, None)
            return None
        if record is None or record.kind != RecordKind.DECISION:
            return None
        return _decoded(record.payload, wanted)

    def _index(self, segment: Segment) -> Offsets | Sidecar:
        path = segment.path
        index = self._indexes.get(path)
        if index is None:
            index = Sidecar(segment.beside(INDEX).read_bytes()) if segment.compacted else Offsets()
            self._indexes[path] = index
        self._indexes.move_to_end(path)
        self._shrink()
        if isinstance(index, Offsets):
            index.update(path)
        return index

    def _shrink(self) -> None:
        while len(self._indexes) > self._cached:
            self._indexes.popitem(last=False)


def _decisions(records: Iterable[Record]) -> list[Decision]:
    return [decision_codec.decode(record.payload) for record in records if record.kind == RecordKind.DECISION]


def _decoded(payload: bytes, wanted: DecisionId) -> Decision | None:
    decision = decision_codec.decode(payload)
    return decision if decision.id == str(wanted) else None


class _Columns(NamedTuple):
    """A decision in a compacted file, not read yet."""

    path: Path
    row: int
    outline: Outline

    def whole(self) -> Decision | None:
        try:
            return columnar.read_decision(self.path, self.row)
        except FileNotFoundError:
            return None
