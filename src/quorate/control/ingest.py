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

import numpy as np
import sqlalchemy as sa

from quorate.codecs import change as change_codec
from quorate.codecs import decision as decision_codec
from quorate.codecs import outcome as outcome_codec
from quorate.codecs.change import Change
from quorate.codecs.journal import RecordKind, scan
from quorate.codecs.lookup import JournalReader, Segment
from quorate.control.alone import alone, keep_doing
from quorate.core.types import Decision, Outcome
from quorate.errors import JournalError
from quorate.home import Home
from quorate.store import ledger
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.ledger import Judgement, Place, Progress, StoredOutcome, Tally, TrafficKey

log = logging.getLogger("quorate.control")

PRECEDENCE = ("ground_truth", "expert", "user")
"""Whose truth counts where several sources have one; other sources come after these, by name."""


STRETCH = 256
PAUSE_S = 0.004
"""Between stretches of so many records it pauses: a worker that wakes up waits until this thread's slice is over."""


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
) -> None:
    """Ingest what comes until ``stop`` is set, trying again every ``every_s`` seconds; errors are logged.

    ``tidy`` is called after each time, while the lock is held; so is ``more``, by what is logged where it fails.
    """
    ingest = Ingest(JournalReader(home.journal), database, pause=lambda: stop.wait(PAUSE_S))
    tasks = {
        "Journals cannot be ingested": ingest.catch_up,
        "Journals cannot be compacted or deleted": tidy,
        **(more or {}),
    }
    keep_doing(home, "ingest", tasks, stop, every_s=every_s)


@dataclass(slots=True)
class _Found:
    """What a stretch of a segment amounts to."""

    progress: Progress
    fresh: bool = False
    tallies: dict[TrafficKey, Tally] = field(default_factory=lambda: defaultdict(Tally))
    latencies: dict[TrafficKey, list[float]] = field(default_factory=lambda: defaultdict(list))
    decisions: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


class Ingest:
    """Reads all slots' segments into the ledger; hold :func:`ingest_lock` while using it.

    ``pause`` is called now and then.
    """

    def __init__(
        self, reader: JournalReader, database: Database, *, pause: Callable[[], object] = lambda: None
    ) -> None:
        self._reader = reader
        self._database = database
        self._pause = pause
        self._done: set[Segment] = set()  # complete, and read to the end

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
            try:
                found = _read(segment, known.get(place), self._pause)
            except FileNotFoundError:
                continue  # removed since it was listed
            except (JournalError, OSError) as error:
                log.error("%s cannot be read: %s", segment.path, error)
                continue
            if found.fresh:
                self._keep(place, found)
                count += len(found.decisions) + len(found.outcomes) + len(found.changes)
            if found.progress.sealed:
                self._done.add(segment)
        return count

    def _keep(self, place: Place, found: _Found) -> None:
        for key, values in found.latencies.items():
            found.tallies[key].latency.add(values)
        with self._database.begin() as connection:
            ledger.add_traffic(connection, found.tallies)
            changed = ledger.put_outcomes(connection, found.outcomes)
            self._join(connection, sorted(changed | ledger.waiting(connection, found.decisions)))
            for c in found.changes:
                add_entry(connection, at=c.at, actor=c.actor, action=c.action, subject=c.subject, detail=c.detail)
            ledger.set_progress(connection, place, found.progress)

    def _join(self, connection: sa.Connection, decisions: list[str]) -> None:
        """Join the outcomes of some decisions with those of them that are in the journal."""
        told: dict[str, list[StoredOutcome]] = defaultdict(list)
        for outcome in ledger.outcomes_of(connection, decisions):
            told[outcome.decision].append(outcome)
        settled: dict[str, list[StoredOutcome]] = {ledger.JOINED: [], ledger.INVALID: []}
        judgements: list[Judgement] = []
        for decision_id, outcomes in told.items():
            try:
                decision = self._reader.find(decision_id)
            except JournalError as error:
                log.error("Decision %s cannot be joined with its outcomes: %s", decision_id, error)
                continue
            if decision is not None:
                fit = [outcome for outcome in outcomes if _fits(outcome, decision)]
                settled[ledger.JOINED] += fit
                settled[ledger.INVALID] += [outcome for outcome in outcomes if outcome not in fit]
                judgements += _judge(decision, fit)
        for state, some in settled.items():
            ledger.settle(connection, some, state)
        ledger.judge(connection, judgements)


def _read(segment: Segment, before: Progress | None, pause: Callable[[], object]) -> _Found:
    """What a segment holds beyond what is known of it."""
    found = scan(segment.path, before.offset if before is not None else 0)
    if before is not None and found.header is not None and found.header.created != before.created:
        return _read(segment, None, pause)  # another journal in the place of the one that was read
    old = before or Progress(found.header.created if found.header is not None else 0, 0)
    batch, unreadable = _Found(old), 0
    for number, record in enumerate(found, 1):
        if number % STRETCH == 0:
            pause()
        try:
            if record.kind == RecordKind.DECISION:
                _count(batch, decision_codec.summary(record.payload))
            elif record.kind == RecordKind.OUTCOME:
                batch.outcomes.append(outcome_codec.decode(record.payload))
            elif record.kind == RecordKind.CHANGE:
                batch.changes.append(change_codec.decode(record.payload))
        except JournalError as error:
            unreadable += 1
            log.error("%s at byte %d: %s", segment.path, record.offset, error)
    for damage in found.damage:
        log.error("%s is damaged: %d bytes at byte %d hold no record", segment.path, damage.length, damage.offset)
    batch.progress = Progress(
        old.created,
        found.end,
        old.sealed or found.sealed,
        old.damaged + sum(damage.length for damage in found.damage),
        old.unreadable + unreadable,
    )
    batch.fresh = batch.progress != before and found.header is not None
    return batch


def _count(batch: _Found, decided: decision_codec.Summary) -> None:
    d = decided
    key = TrafficKey(d.endpoint, int(d.arrived // 60), d.revision, d.assigned, d.source)
    tally = batch.tallies[key]
    tally.requests += 1
    tally.rows += d.rows
    tally.errors += d.error is not None
    tally.degraded += d.degraded
    tally.fallbacks += d.served is not None and d.served != d.assigned
    if math.isfinite(d.latency_ms):
        batch.latencies[key].append(max(d.latency_ms, 0.0))
    batch.decisions.append(d.id)


def _fits(outcome: StoredOutcome, decision: Decision) -> bool:
    """Whether an outcome can be about this decision; those that came before it could not be checked then."""
    if outcome.row >= decision.rows:
        return False
    if outcome.metric != ledger.TRUTH:
        return True
    return outcome.label in decision.classes if decision.output_kind == "scores" else outcome.value is not None


def _judge(decision: Decision, outcomes: list[StoredOutcome]) -> Iterator[Judgement]:
    """Rows that were answered and whose truth is known, by the source that takes precedence."""
    d = decision
    if d.answer is None or d.abstained:
        return
    truths: dict[int, StoredOutcome] = {}
    for outcome in outcomes:
        if outcome.metric == ledger.TRUTH:
            other = truths.get(outcome.row)
            if other is None or _precedence(outcome) < _precedence(other):
                truths[outcome.row] = outcome
    for row, truth in truths.items():
        answer = d.answer[row]
        if not np.isfinite(answer).all():
            continue
        if d.output_kind == "scores":
            loss = float(d.classes[int(answer.argmax())] != truth.label)
        elif len(answer) == 1 and truth.value is not None:
            loss = abs(float(answer[0]) - truth.value)
        else:
            continue  # one number is no truth for an answer of several
        minute = int(d.arrived // 60)
        yield Judgement(
            d.id, row, d.endpoint, minute, d.revision, d.assigned, d.source, d.output_kind, loss, truth.source
        )


def _precedence(outcome: StoredOutcome) -> tuple[int, str]:
    source = outcome.source
    return (PRECEDENCE.index(source) if source in PRECEDENCE else len(PRECEDENCE), source)
