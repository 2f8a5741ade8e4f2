"""Ingesting the journals: every record once, whatever crashes; outcomes joined with decisions in either order.

What a batch of records amounts to and how far it was read are one transaction. One process ingests at a time, by a
lock in the project's ``run`` folder.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from quorate.codecs import change as change_codec
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.change import Change
from quorate.codecs.journal import Passed, Record, RecordKind, Scan, scan
from quorate.codecs.lookup import JournalReader, Segment
from quorate.control.alone import alone, keep_doing
from quorate.control.journal.uncollected import uncollected
from quorate.control.outcomes.joined import LOOKS_AWAY, NOBODY, Listener, Watcher
from quorate.control.outcomes.joining import Joiner
from quorate.errors import JournalError
from quorate.home import Home
from quorate.store import ledger
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.ledger import Place, Progress, StoredOutcome, Tally, TrafficKey

log = logging.getLogger("quorate.control")

STRETCH = 256
PAUSE_S, HURRY_S = 0.004, 0.0005
"""Between stretches of so many records it pauses: a worker that wakes up waits until this thread's slice is over.
Where a whole batch is waiting the pauses are short."""
BATCH = 20_000
"""Records of one transaction at most: others that write to the store wait for its end."""
_DECISION, _OUTCOME, _CHANGE = map(int, (RecordKind.DECISION, RecordKind.OUTCOME, RecordKind.CHANGE))
INDEXES = 64
"""Segments whose offsets stay in memory, 16 bytes a decision."""


def ingest_lock(home: Home) -> AbstractContextManager[bool]:
    """Try to be the one that ingests while the block runs; yields False where another process is."""
    return alone(home, "ingest")


def follow(
    home: Home,
    database: Database,
    stop: threading.Event,
    *,
    every_s: float = 1.0,
    tidy: Callable[[], None] = lambda: None,
    more: Mapping[str, Callable[[], object]] | None = None,
    listener: Listener = NOBODY,
) -> None:
    """Ingest what comes until ``stop`` is set, trying again every ``every_s`` seconds; errors are logged.

    ``tidy`` is called after each time, while the lock is held; so is ``more``, by what is logged where it fails.
    ``listener`` is as :mod:`~quorate.control.outcomes.joined` says.
    """
    reader = JournalReader(home.journal, cached=INDEXES)
    ingest = Ingest(reader, database, pause=stop.wait, listener=listener)
    tasks = {
        "Journals cannot be ingested": ingest.catch_up,
        "What was learned cannot be published": listener.publish,
        "Journals cannot be compacted or deleted": tidy,
        **(more or {}),
    }
    keep_doing(home, "ingest", tasks, stop, every_s=every_s)


@dataclass(slots=True)
class _Found:
    """What a stretch of a segment amounts to; ``watcher`` has seen its decisions, ``passed`` says where they lie.

    ``taken`` counts the records that say something, of ``records`` in all. Keys are those of :class:`TrafficKey`, as
    plain tuples, which are made faster.
    """

    progress: Progress
    records: int = 0
    taken: int = 0
    tallies: dict[tuple[str, int, int, str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    latencies: dict[tuple[str, int, int, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    decisions: list[str] = field(default_factory=list)
    told: list[StoredOutcome] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    watcher: Watcher = LOOKS_AWAY
    passed: Passed | None = None


class Ingest:
    """Reads all slots' segments into the ledger; hold :func:`ingest_lock` while using it.

    ``pause`` is called with seconds now and then; ``listener`` as :mod:`~quorate.control.outcomes.joined` says.
    """

    def __init__(
        self,
        reader: JournalReader,
        database: Database,
        *,
        pause: Callable[[float], object] = lambda _: None,
        listener: Listener = NOBODY,
    ) -> None:
        self._reader = reader
        self._database = database
        self._pause = pause
        self._pause_s = PAUSE_S
        self._joiner = Joiner(reader, listener, self._rest)
        self._listener = listener
        self._done: set[Segment] = set()  # complete, and read to the end

    def _rest(self) -> None:
        self._pause(self._pause_s)

    def catch_up(self) -> int:
        """Ingest everything that is in the journals now; returns how many records that were.

        A segment that cannot be read is logged and left for the next time.
        """
        with self._database.read() as connection:
            known = ledger.progress(connection)
        count = 0
        for segment in self._reader.segments():
            if segment in self._done:
                continue
            place = Place(segment.slot, segment.boot, segment.first)
            batches = self._batches(segment, known.get(place))
            while True:
                with uncollected():
                    found = next(batches, None)
                    if found is None:
                        break
                    self._pause_s = HURRY_S if found.records >= BATCH else PAUSE_S
                    known[place] = found.progress
                    if found.passed is not None:
                        self._reader.passed(segment, found.passed)
                    self._keep(place, found, known)
                count += found.taken
            if place in known and known[place].sealed:
                self._done.add(segment)
        return count

    def _batches(self, segment: Segment, before: Progress | None) -> Iterator[_Found]:
        try:
            yield from _read(segment, before, self._rest, self._listener.watcher)
        except FileNotFoundError:
            pass  # removed since it was listed
        except (JournalError, OSError) as error:
            log.error("%s cannot be read: %s", segment.path, error)

    def _keep(self, place: Place, found: _Found, known: Mapping[Place, Progress]) -> None:
        for key, values in found.latencies.items():
            found.tallies[key].latency.add(values)
        with self._database.begin() as connection:
            ledger.add_traffic(connection, {TrafficKey(*key): tally for key, tally in found.tallies.items()})
            found.watcher.keep(connection)
            self._joiner.join(connection, found.told, found.decisions, known)
            for c in found.changes:
                add_entry(connection, at=c.at, actor=c.actor, action=c.action, subject=c.subject, detail=c.detail)
            ledger.set_progress(connection, place, found.progress)


def _read(
    segment: Segment, before: Progress | None, pause: Callable[[], object], watcher: Callable[[], Watcher]
) -> Iterator[_Found]:
    """What a segment holds beyond what is known of it, in batches; nothing where there is nothing new."""
    found = scan(segment.path, before.offset if before is not None else 0)
    if before is not None and found.header is not None and found.header.created != before.created:
        yield from _read(segment, None, pause, watcher)  # another journal in the place of the one that was read
        return
    if found.header is None:
        return
    old = before or Progress(found.header.created, 0)
    batch, unreadable = _Found(old, watcher=watcher()), 0
    for number, record in enumerate(found, 1):
        if number % STRETCH == 0:
            pause()
        unreadable += not _take(batch, record, segment)
        if batch.records >= BATCH:
            batch.progress, batch.passed = _progress(old, found, unreadable), found.passed()
            yield batch
            batch = _Found(batch.progress, watcher=watcher())
    for damage in found.damage:
        log.error("%s is damaged: %d bytes at byte %d hold no record", segment.path, damage.length, damage.offset)
    done = _progress(old, found, unreadable)
    if done != (batch.progress if batch.progress is not old else before):
        batch.progress, batch.passed = done, found.passed()
        yield batch


def _progress(old: Progress, found: Scan, unreadable: int) -> Progress:
    lost = sum(damage.length for damage in found.damage)
    return Progress(old.created, found.end, old.sealed or found.sealed, old.damaged + lost, old.unreadable + unreadable)


def _take(batch: _Found, record: Record, segment: Segment) -> bool:
    """Take a record into a batch; False where it cannot be read."""
    batch.records += 1
    kind = record.kind
    try:
        if kind == _DECISION:
            decided = decision_codec.summary(record.payload)
            _count(batch, decided)
            batch.watcher.see(decided)
        elif kind == _OUTCOME:
            batch.told += ledger.told(outcome_codec.decode(record.payload))
        elif kind == _CHANGE:
            batch.changes.append(change_codec.decode(record.payload))
        else:
            return True
    except JournalError as error:
        log.error("%s at byte %d: %s", segment.path, record.offset, error)
        return False
    batch.taken += 1
    return True


def _count(batch: _Found, d: decision_codec.Summary) -> None:
    arrived, _, latency_ms = d.times
    assigned, served = d.assigned, d.served
    key = (d.endpoint, int(arrived // 60), d.revision, assigned, d.source)
    tally = batch.tallies[key]
    tally.requests += 1
    tally.rows += d.rows
    tally.errors += d.error is not None
    tally.degraded += d.flags[0]
    tally.fallbacks += served is not None and served != assigned
    if math.isfinite(latency_ms):
        batch.latencies[key].append(max(latency_ms, 0.0))
    batch.decisions.append(d.id)
