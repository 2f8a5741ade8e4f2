"""The ledger: what ingesting the journals has found out, and how far it has read.

Decisions themselves stay in their segments; here are traffic counts by minute, and outcomes. What these amount to is in
:mod:`quorate.store.tallies`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from quorate.core.stats.histogram import LogHistogram
from quorate.core.types import Outcome
from quorate.store.bulk import select_in, upsert
from quorate.store.database import metadata

TRUTH = "truth"
PENDING, GONE, JOINED, REPLACED, LATE, INVALID = "pending", "gone", "joined", "replaced", "late", "invalid"
"""States of a value: its decision was not read yet; was, and is no longer kept; it counts for its source; another value
of its source counts; it came after the correction window; it cannot be about its decision."""

_OPEN = f"state <> '{JOINED}' AND "  # said by every query that an index of these alone is to serve

_offsets = sa.Table(
    "journal_offsets",
    metadata,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("boot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.Boolean, nullable=False),
    sa.Column("damaged", sa.BigInteger, nullable=False),
    sa.Column("unreadable", sa.BigInteger, nullable=False),
)

_traffic = sa.Table(
    "traffic",
    metadata,
    sa.Column("endpoint", sa.String(200), primary_key=True),
    sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("strategy", sa.String(200), primary_key=True),
    sa.Column("source", sa.String(20), primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("degraded", sa.BigInteger, nullable=False),
    sa.Column("fallbacks", sa.BigInteger, nullable=False),
    sa.Column("latency", sa.Text, nullable=False),
)

_outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("decision", sa.String(36), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("metric", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(64), primary_key=True),
    sa.Column("label", sa.Text, nullable=True),
    sa.Column("value", sa.Double, nullable=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("received", sa.Double, primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Index(
        "outcomes_open",
        "state",
        "decision",
        sqlite_where=sa.text("state <> 'joined'"),
        postgresql_where=sa.text("state <> 'joined'"),
    ),
    sqlite_with_rowid=False,
)


class Place(NamedTuple):
    """One segment: ``journal/<slot>/<boot>-<first>.qj``."""

    slot: int
    boot: int
    first: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a segment is read: ``offset`` bytes; ``created`` (Unix ns) tells it from another of the same name.

    ``damaged`` counts skipped bytes, ``unreadable`` valid records that could not be decoded.
    """

    created: int
    offset: int
    sealed: bool = False
    damaged: int = 0
    unreadable: int = 0


class TrafficKey(NamedTuple):
    """What traffic is counted by; ``strategy`` is the assigned one, ``minute`` Unix time / 60."""

    endpoint: str
    minute: int
    revision: int
    strategy: str
    source: str


@dataclass(slots=True)
class Tally:
    """Counts of decisions; ``latency`` in milliseconds, of errors too."""

    requests: int = 0
    rows: int = 0
    errors: int = 0
    degraded: int = 0
    fallbacks: int = 0
    latency: LogHistogram = field(default_factory=LogHistogram)

    def merge(self, other: Tally) -> None:
        """Add the counts of ``other``."""
        self.requests += other.requests
        self.rows += other.rows
        self.errors += other.errors
        self.degraded += other.degraded
        self.fallbacks += other.fallbacks
        self.latency.merge(other.latency)


class StoredOutcome(NamedTuple):
    """One value for a row of a decision: a ``label`` or a ``value`` of ``metric`` (``truth`` for the truth)."""

    decision: str
    row: int
    metric: str
    source: str
    label: str | None
    value: float | None
    at: float
    received: float
    state: str

    @property
    def rank(self) -> tuple[float, float, str, float]:
        """Orders values of one key: the one known last counts; the rest makes the order complete."""
        return (self.at, self.received, self.label or "", 0.0 if self.value is None else self.value)


# --- how far the journals are read ----------------------------------------------------------------


def progress(connection: sa.Connection) -> dict[Place, Progress]:
    """How far every segment known is read."""
    return {Place(*row[:3]): Progress(*row[3:]) for row in connection.execute(sa.select(_offsets))}


def set_progress(connection: sa.Connection, place: Place, done: Progress) -> None:
    """Record how far a segment is read."""
    row = (*place, done.created, done.offset, done.sealed, done.damaged, done.unreadable)
    _upsert(connection, _offsets, [dict(zip(_offsets.c.keys(), row, strict=True))])


# --- traffic --------------------------------------------------------------------------------------


def add_traffic(connection: sa.Connection, tallies: Mapping[TrafficKey, Tally]) -> None:
    """Add counts to those there are."""
    rows = []
    for key, tally in tallies.items():
        mine = [_traffic.c[name] == value for name, value in key._asdict().items()]
        found = connection.execute(sa.select(_traffic).where(*mine)).first()
        total = Tally() if found is None else _tally(found)
        total.merge(tally)
        rows.append(
            {
                **key._asdict(),
                "requests": total.requests,
                "rows": total.rows,
                "errors": total.errors,
                "degraded": total.degraded,
                "fallbacks": total.fallbacks,
                "latency": json.dumps(total.latency.to_dict(), separators=(",", ":")),
            }
        )
    _upsert(connection, _traffic, rows)


def traffic(connection: sa.Connection, endpoint: str, since_minute: int) -> Iterator[tuple[TrafficKey, Tally]]:
    """An endpoint's traffic from a minute on, in order of time."""
    wanted = sa.select(_traffic).where(_traffic.c.endpoint == endpoint, _traffic.c.minute >= since_minute)
    for row in connection.execute(wanted.order_by(_traffic.c.minute)):
        yield TrafficKey(*row[:5]), _tally(row)


def _tally(row: sa.Row[Any]) -> Tally:
    latency = LogHistogram.from_dict(json.loads(row.latency))
    return Tally(row.requests, row.rows, row.errors, row.degraded, row.fallbacks, latency)


# --- outcomes -------------------------------------------------------------------------------------


def told(outcome: Outcome) -> list[StoredOutcome]:
    """What an outcome says, one value each, pending."""
    decision, row, truth, rewards, source, at, received = outcome
    if isinstance(truth, str):
        return [StoredOutcome(decision, row, TRUTH, source, truth, None, at, received, PENDING)]
    values = rewards if truth is None else {TRUTH: truth}
    return [
        StoredOutcome(decision, row, metric, source, None, float(value), at, received, PENDING)
        for metric, value in values.items()
    ]


def put_outcomes(connection: sa.Connection, outcomes: Sequence[StoredOutcome]) -> None:
    """Store values with their states; one of the same key and time of receipt is replaced."""
    upsert(connection, _outcomes, outcomes)


def drop_outcomes(connection: sa.Connection, outcomes: Sequence[StoredOutcome]) -> None:
    """Forget values."""
    for o in outcomes:
        connection.execute(
            _outcomes.delete().where(*(column == getattr(o, column.name) for column in _outcomes.primary_key.columns))
        )


def outcomes_of(connection: sa.Connection, decisions: Sequence[str]) -> list[StoredOutcome]:
    """Every value known about some decisions, by decision, row, metric, source and time of receipt."""
    columns = ", ".join(f'"{name}"' for name in StoredOutcome._fields)
    found = [StoredOutcome._make(row) for row in select_in(connection, columns, _outcomes, "decision", decisions)]
    found.sort(key=lambda o: (*o[:4], o.received))
    return found


def told_again(connection: sa.Connection, newest: int, most: int) -> list[str]:
    """Decisions with several values for one row and metric, the newest first: ``most`` of those that the ``newest``
    values are about."""
    recent = sa.select(_outcomes.c.decision, _outcomes.c.row, _outcomes.c.metric)
    t = recent.order_by(_outcomes.c.decision.desc()).limit(newest).subquery().c
    query = sa.select(t.decision).group_by(t.decision, t.row, t.metric).having(sa.func.count() > 1)
    return list(dict.fromkeys(connection.scalars(query.order_by(t.decision.desc()).limit(most))))


def waiting(connection: sa.Connection, decisions: Sequence[str]) -> set[str]:
    """Those of the decisions that have pending outcomes."""
    if connection.exec_driver_sql(f"SELECT 1 FROM outcomes WHERE {_OPEN}state = '{PENDING}' LIMIT 1").first() is None:  # noqa: S608 - no input
        return set()
    where = f"{_OPEN}state = '{PENDING}' AND "
    return {row[0] for row in select_in(connection, "decision", _outcomes, "decision", decisions, where)}


def outcome_counts(connection: sa.Connection) -> dict[str, int]:
    """How many values are in each state but joined, over all endpoints; joined ones are far too many to count."""
    counted = connection.exec_driver_sql(f"SELECT state, count(*) FROM outcomes WHERE {_OPEN}1 = 1 GROUP BY state")  # noqa: S608 - no input
    return dict.fromkeys((PENDING, GONE, REPLACED, LATE, INVALID), 0) | {row[0]: row[1] for row in counted}


def newest_joined(connection: sa.Connection, metric: str, before: str | None, most: int) -> list[str]:
    """Decisions of which ``metric`` counts as known, the newest first; those older than ``before``, if given."""
    # Nearly all are joined: the index of states would only bring them out of order, so it is kept out of this.
    joined = _outcomes.c.state.concat("") == JOINED
    wanted = sa.select(_outcomes.c.decision).distinct().where(joined, _outcomes.c.metric == metric)
    if before is not None:
        wanted = wanted.where(_outcomes.c.decision < before)
    return list(connection.scalars(wanted.order_by(_outcomes.c.decision.desc()).limit(most)))


def joined_since(connection: sa.Connection, since: float, at_once: int) -> Iterator[list[str]]:
    """Decisions from Unix time ``since`` on of which something counts as known, in the order they were made."""
    text = f"{max(int(since * 1000), 0):012x}"
    last = f"{text[:8]}-{text[8:]}"
    while True:
        wanted = sa.select(_outcomes.c.decision).distinct().where(_outcomes.c.state == JOINED)
        found = connection.scalars(
            wanted.where(_outcomes.c.decision > last).order_by(_outcomes.c.decision).limit(at_once)
        ).all()
        if not found:
            return
        yield list(found)
        last = found[-1]


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, replacing those with the same primary key."""
    upsert(connection, table, [[row[column.name] for column in table.c] for row in rows])
