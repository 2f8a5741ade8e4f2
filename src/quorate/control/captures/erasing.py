"""Erasing one subject: asked for in the store, done by whoever holds the ingest lock, whatever is killed when.

What is open is sealed first; what is finished is searched file by file, and a file that holds the subject is written
anew beside itself and renamed. An erasure that was interrupted begins again: what it has taken out bears its mark, so
nothing is done, or counted, twice.
"""

from __future__ import annotations

import logging
import re
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec

from quorate.clock import Clock
from quorate.codecs import sealing, snapshot
from quorate.codecs.capture_reader import CaptureReader
from quorate.codecs.erasure import Match, Taken, erase_columns, erase_segment
from quorate.codecs.journal import HEADER_SIZE, scan
from quorate.codecs.lookup import JournalReader, Segment
from quorate.control.journal.compact import finished, unlocked
from quorate.control.journal.ship import copies
from quorate.control.learning import recording
from quorate.core.erasing import Subject
from quorate.core.record import KeyedHash
from quorate.core.types import Scalar
from quorate.errors import InvalidInput, NotFound, QuorateError
from quorate.home import Home
from quorate.ids import DecisionId
from quorate.store import ledger
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.datasets import DONE as WRITTEN
from quorate.store.datasets import exports, remove_export
from quorate.store.erasures import (
    DONE,
    OPEN,
    QUEUED,
    RUNNING,
    WAITING,
    Erasure,
    add_erasure,
    erasure,
    erasures,
    update_erasure,
)
from quorate.store.jobs import forget_context
from quorate.store.ledger import Place
from quorate.store.revisions import revisions

log = logging.getLogger("quorate.control")

BUDGET_S = 0.5
"""How long one turn works; ingesting goes on between turns."""
RETRY_S = 60.0
MOST_DECISIONS = 10_000
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Report(msgspec.Struct):
    """What an erasure has taken out, or with ``dry_run`` would take out, and what it cannot reach.

    ``decisions`` and ``captures`` are records, ``files`` those that held any; ``answers`` are remembered answers to
    idempotency keys, ``jobs`` jobs whose context was emptied, ``lessons`` rows in the record of what combiners were
    taught. ``damaged`` bytes and ``unreadable`` records could not be looked through. ``shipped`` are copies elsewhere,
    ``exports`` data sets that were written before.
    """

    decisions: int = 0
    captures: int = 0
    files: int = 0
    answers: int = 0
    jobs: int = 0
    lessons: int = 0
    damaged: int = 0
    unreadable: int = 0
    shipped: list[str] = []
    exports: list[str] = []
    waiting: list[str] = []


def ask(
    home: Home,
    database: Database,
    clock: Clock,
    endpoint: str,
    *,
    context: Mapping[str, Scalar] | None = None,
    unit: str | None = None,
    decisions: Collection[str] = (),
    dry_run: bool = False,
    author: str,
) -> Erasure:
    """Ask for the erasure of one subject of an endpoint, by one context key, the unit, or decision ids.

    The value itself is stored nowhere. :class:`InvalidInput` unless exactly one of them is given;
    :class:`NotFound` for an endpoint that never was.
    """
    given = [name for name, one in (("context", context), ("unit", unit), ("decisions", decisions)) if one]
    if len(given) != 1 or (context is not None and len(context) > 1):
        got = " and ".join(given) or "none"
        raise InvalidInput(
            f"A subject is one context key with its value, one unit, or decision ids; got {got}.", path="subject"
        )
    with database.read() as connection:
        known = bool(revisions(connection, endpoint))
    if not known and not CaptureReader(home.captures).files(endpoint):
        raise NotFound(f"There is no endpoint '{endpoint[:64]}', and there never was one.", path="endpoint")
    keyed = KeyedHash(_secret(home))
    if context:
        ((key, value),) = context.items()
        if not _KEY.fullmatch(key) or value is None:
            raise InvalidInput("The context is one key and the value it has, which is not null.", path="context")
        by, subject = f"context.{key}", keyed(value)
    elif unit:
        by, subject = "unit", keyed(unit)
    else:
        if len(decisions) > MOST_DECISIONS:
            raise InvalidInput(f"At most {MOST_DECISIONS} decisions are erased at a time.", path="decisions")
        by, subject = "decision", msgspec.json.encode([str(DecisionId.parse(id_)) for id_ in decisions]).decode()
    made = Erasure(
        secrets.token_hex(16), endpoint, by, subject, secrets.token_hex(6), dry_run, author, QUEUED, clock.now()
    )
    with database.begin() as connection:
        add_erasure(connection, made)
        detail = {"by": by, "subject": _named(made), "dry_run": dry_run, "erasure": made.id}
        add_entry(connection, at=made.created, actor=author, action="erasure.ask", subject=endpoint, detail=detail)
    return made


def get(database: Database, erasure_id: str) -> Erasure:
    """An erasure; :class:`NotFound`."""
    with database.read() as connection:
        found = erasure(connection, erasure_id)
    if found is None:
        raise NotFound(f"There is no erasure '{erasure_id[:64]}'.", path="id")
    return found


class Eraser:
    """Does what was asked for, oldest first; only who holds the ingest lock may call :meth:`work`.

    ``busy`` says whether something else rewrites files now.
    """

    def __init__(
        self, home: Home, database: Database, clock: Clock, *, busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._home = home
        self._database = database
        self._clock = clock
        self._busy = busy
        self._current: str | None = None
        self._steps: Iterator[None] = iter(())
        self._not_before = 0.0
        self.pending = False
        """Whether an erasure waited at the last look."""

    def work(self, budget_s: float = BUDGET_S) -> bool:
        """Go on with the oldest erasure for a while; False if there is nothing that can be done now."""
        until = self._clock.monotonic() + budget_s
        if self._clock.monotonic() < self._not_before:
            return False
        with self._database.read() as connection:
            asked = erasures(connection, states=OPEN, limit=1000)
        self.pending = bool(asked)
        if not asked or self._busy():
            return False
        if self._current != asked[-1].id:
            self._current, self._steps = asked[-1].id, self._erase(asked[-1])
        try:
            for _ in self._steps:
                if self._clock.monotonic() >= until:
                    return True
        except (QuorateError, OSError, sqlite3.Error) as error:
            self._change(asked[-1].id, error=str(error))
            self._not_before = self._clock.monotonic() + RETRY_S
            log.error("The erasure %s cannot go on now and begins again in a minute: %s", asked[-1].id, error)
            self._current = None
            return False
        self._current = None
        return get(self._database, asked[-1].id).state == DONE

    # --- one erasure, from the beginning ----------------------------------------------------------

    def _erase(self, asked: Erasure) -> Iterator[None]:
        report = Report()
        if not asked.dry_run:
            report.waiting = self._still_open(asked)
            if report.waiting:
                self._change(asked.id, state=WAITING, error=None, report=msgspec.to_builtins(report))
                return
        self._change(asked.id, state=RUNNING, error=None)
        subject = self._subject(asked)
        keyed = KeyedHash(_secret(self._home))
        ids: set[str] = set(subject.decisions)

        def match(id_: str, endpoint: str, context: Mapping[str, Scalar], unit: str | None) -> bool:
            return endpoint == asked.endpoint and (id_ in ids or subject.matches(id_, context, unit, keyed))

        found: list[str] = []
        for segment in JournalReader(self._home.journal).files():
            taken = self._file(segment, match, asked)
            report.decisions += _count(report, taken)
            found += taken.ids + taken.before
            if taken.ids or taken.before:
                told = copies(segment)
                report.shipped += [] if told is None else [f"{told[0]}: {name}" for name in told[1]]
            yield
        ids |= set(found)
        for segment in CaptureReader(self._home.captures).files(asked.endpoint):
            report.captures += _count(report, self._file(segment, match, asked))
            yield
        self._elsewhere(asked, subject, keyed, ids, report)
        self._finish(asked, report)

    def _file(self, segment: Segment, match: Match, asked: Erasure) -> Taken:
        erase = erase_columns if segment.compacted else erase_segment
        try:
            return erase(segment.path, match, asked.token, dry_run=asked.dry_run)
        except FileNotFoundError:  # deleted since it was listed; nothing is compacted meanwhile
            return Taken()

    def _subject(self, asked: Erasure) -> Subject:
        if asked.by == "decision":
            return Subject(decisions=frozenset(msgspec.json.decode(asked.subject, type=list[str])))
        sticky = self._sticky(asked.endpoint)
        if asked.by == "unit":
            return Subject(asked.subject, unit=True, key=next(iter(sticky), None) if len(sticky) == 1 else None)
        key = asked.by.removeprefix("context.")
        return Subject(asked.subject, key=key, unit=key in sticky)

    def _sticky(self, endpoint: str) -> set[str]:
        """The context keys that the endpoint's units were ever made of."""
        with self._database.read() as connection:
            texts = [revision.content for revision in revisions(connection, endpoint)]
        found = {msgspec.json.decode(text, type=_Content).endpoint.policy.sticky for text in texts}
        return {key for key in found if key is not None}

    def _still_open(self, asked: Erasure) -> list[str]:
        """Segments that were begun before the erasure was asked for, and are written to or not ingested yet.

        Workers are asked to end those they write.
        """
        with self._database.read() as connection:
            known = ledger.progress(connection)
        waiting, to_seal = [], False
        journal = JournalReader(self._home.journal).segments()
        captured = CaptureReader(self._home.captures).files(asked.endpoint)
        for segment in [*journal, *captured]:
            with suppress(FileNotFoundError):
                if segment.path.stat().st_size <= HEADER_SIZE or _created(segment) > asked.created:
                    continue
                is_open = not unlocked(segment.path)
                place = Place(segment.slot, segment.boot, segment.first)
                if is_open or (segment in journal and not finished(segment, known.get(place))):
                    waiting.append(str(segment.path.relative_to(self._home.state)))
                    to_seal = to_seal or is_open
        if to_seal:
            sealing.ask(self._home.seal)
        return waiting

    def _elsewhere(self, asked: Erasure, subject: Subject, keyed: KeyedHash, ids: set[str], report: Report) -> None:
        """What lies outside the journal and the captured inputs."""
        path = self._home.run / "idempotency.db"
        if ids and path.exists():
            report.answers = forget_answers(path, ids, dry_run=asked.dry_run)
        with self._database.read() if asked.dry_run else self._database.begin() as connection:
            report.lessons = recording.forget(connection, asked.endpoint, ids, dry_run=asked.dry_run)
        if subject.key is not None and not asked.dry_run:
            with self._database.begin() as connection:
                report.jobs = forget_context(
                    connection, asked.endpoint, lambda context: subject.matches("", context, None, keyed)
                )
        with self._database.read() as connection:
            written = exports(connection, asked.endpoint)
        report.exports = [made.place for made in written]
        for made in written:
            here = Path(made.place)
            # What is being written now is written again: control/captures/exporting.py.
            if not asked.dry_run and here.parent == self._home.datasets and made.state == WRITTEN:
                here.unlink(missing_ok=True)
                with self._database.begin() as connection:
                    remove_export(connection, made.id)

    def _finish(self, asked: Erasure, report: Report) -> None:
        now = self._clock.now()
        plain: dict[str, Any] = msgspec.to_builtins(report)
        with self._database.begin() as connection:
            # Nothing tells afterwards which erasure a mark was of, and so not whose the decisions were.
            update_erasure(
                connection, asked.id, state=DONE, finished=now, error=None, report=plain, subject="", token=""
            )
            detail = {"erasure": asked.id, "by": asked.by, "subject": _named(asked), "dry_run": asked.dry_run, **plain}
            add_entry(
                connection, at=now, actor=asked.author, action="erasure.done", subject=asked.endpoint, detail=detail
            )

    def _change(self, erasure_id: str, **changes: Any) -> None:
        with self._database.begin() as connection:
            update_erasure(connection, erasure_id, **changes)


class _Policy(msgspec.Struct):
    sticky: str | None = None


class _Endpoint(msgspec.Struct):
    policy: _Policy = msgspec.field(default_factory=_Policy)


class _Content(msgspec.Struct):
    """What of a revision's content is of interest here."""

    endpoint: _Endpoint


def forget_answers(path: Path, decisions: Collection[str], *, dry_run: bool = False) -> int:
    """Delete the remembered answers that name one of the decisions, and what SQLite would leave of them; how many."""
    wanted = {id_.encode() for id_ in decisions}
    with closing(sqlite3.connect(path, timeout=10.0, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        found = [
            (key,)
            for key, body in connection.execute("SELECT key, body FROM claims WHERE body IS NOT NULL")
            if not wanted.isdisjoint(_ID.findall(body))
        ]
        if found and not dry_run:
            connection.executemany("DELETE FROM claims WHERE key = ?", found)
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return len(found)


def _count(report: Report, taken: Taken) -> int:
    report.damaged += taken.damaged
    report.unreadable += taken.unreadable
    number = len(taken.ids) + len(taken.before)
    report.files += number > 0
    return number


def _created(segment: Segment) -> float:
    """When a segment was begun, Unix seconds; 0 where that cannot be read."""
    with segment.path.open("rb") as file:
        header = scan(file.read(HEADER_SIZE)).header
    return 0.0 if header is None else header.created / 1e9


def _named(asked: Erasure) -> str:
    """The subject as the audit trail may have it: hashed, or as a number of decisions."""
    return asked.subject if asked.by != "decision" else f"{asked.subject.count(',') + 1} decisions"


def _secret(home: Home) -> str:
    return snapshot.read(home.snapshot).secret if snapshot.current_version(home.snapshot) is not None else ""
