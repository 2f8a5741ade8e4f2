"""The ledger: what ingesting the journals has found out, and how far it has read.

Decisions themselves stay in their segments; here are traffic counts by minute, outcomes, and rows whose truth is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from quorate.core.stats.histogram import LogHistogram
from quorate.core.types import Outcome
from quorate.store.database import metadata

TRUTH = "truth"
PENDING, JOINED, INVALID = "pending", "joined", "invalid"
_MANY = 500  # values in one IN (…)

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
    sa.Column("received", sa.Double, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Index("outcomes_state", "state", "decision"),
)

_judged = sa.Table(
    "judged",
    metadata,
    sa.Column("decision", sa.String(36), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("endpoint", sa.String(200), nullable=False),
    sa.Column("minute", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("strategy", sa.String(200), nullable=False),
    sa.Column("source", sa.String(20), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("loss", sa.Double, nullable=False),
    sa.Column("truth_source", sa.String(64), nullable=False),
    sa.Index("judged_endpoint", "endpoint", "minute"),
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


class Judgement(NamedTuple):
    """A row whose truth is known. ``loss`` is 0 or 1 for ``scores``, the absolute error for ``values``."""

    decision: str
    row: int
    endpoint: str
    minute: int
    revision: int
    strategy: str
    source: str
    kind: str
    loss: float
    truth_source: str


class Losses(NamedTuple):
    """Judged rows of one strategy and source, summed."""

    strategy: str
    source: str
    kind: str
    rows: int
    loss: float


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


def put_outcomes(connection: sa.Connection, outcomes: Iterable[Outcome]) -> set[str]:
    """Store outcomes as pending; returns the decisions for which that changed anything.

    Of several values for one decision, row, metric and source the one with the latest ``at`` is kept, so neither
    order nor repetition matters.
    """
    newest: dict[tuple[Any, ...], StoredOutcome] = {}
    for outcome in outcomes:
        for stored in _stored(outcome):
            before = newest.get(stored[:4])
            if before is None or stored.rank > before.rank:
                newest[stored[:4]] = stored
    known = {old[:4]: old for old in outcomes_of(connection, sorted({stored.decision for stored in newest.values()}))}
    fresh = [new for key, new in newest.items() if key not in known or new.rank > known[key].rank]
    _upsert(connection, _outcomes, [outcome._asdict() for outcome in fresh])
    return {outcome.decision for outcome in fresh}


def outcomes_of(connection: sa.Connection, decisions: Sequence[str]) -> list[StoredOutcome]:
    """Everything known about some decisions, by decision and row."""
    found: list[StoredOutcome] = []
    for start in range(0, len(decisions), _MANY):
        some = _outcomes.c.decision.in_(decisions[start : start + _MANY])
        ordered = sa.select(_outcomes).where(some).order_by(*_outcomes.primary_key.columns)
        found.extend(StoredOutcome(*row) for row in connection.execute(ordered))
    return found


def settle(connection: sa.Connection, outcomes: Iterable[StoredOutcome], state: str) -> None:
    """Say of outcomes that they are joined with their decision, or invalid for it."""
    _upsert(connection, _outcomes, [outcome._replace(state=state)._asdict() for outcome in outcomes])


def waiting(connection: sa.Connection, decisions: Sequence[str]) -> set[str]:
    """Those of the decisions that have pending outcomes."""
    pending = sa.select(_outcomes.c.decision).where(_outcomes.c.state == PENDING)
    if connection.execute(pending.limit(1)).first() is None:
        return set()
    found: set[str] = set()
    for start in range(0, len(decisions), _MANY):
        some = pending.where(_outcomes.c.decision.in_(decisions[start : start + _MANY]))
        found.update(connection.scalars(some))
    return found


def outcome_counts(connection: sa.Connection) -> dict[str, int]:
    """How many outcomes are pending, joined and invalid, over all endpoints."""
    counted = sa.select(_outcomes.c.state, sa.func.count()).group_by(_outcomes.c.state)
    return {PENDING: 0, JOINED: 0, INVALID: 0} | {row[0]: row[1] for row in connection.execute(counted)}


def _stored(outcome: Outcome) -> Iterator[StoredOutcome]:
    o = outcome
    values: Mapping[str, str | float] = {TRUTH: o.truth} if o.truth is not None else o.rewards
    for metric, value in values.items():
        label, number = (value, None) if isinstance(value, str) else (None, float(value))
        yield StoredOutcome(o.decision, o.row, metric, o.source, label, number, o.at, o.received, PENDING)


# --- judged rows ----------------------------------------------------------------------------------


def judge(connection: sa.Connection, judgements: Iterable[Judgement]) -> None:
    """Record what rows turned out to be; a later judgement of a row replaces the earlier one."""
    _upsert(connection, _judged, [judgement._asdict() for judgement in judgements])


def losses(connection: sa.Connection, endpoint: str, since_minute: int) -> list[Losses]:
    """Judged rows of an endpoint from a minute on, summed by assigned strategy, source and kind."""
    by = (_judged.c.strategy, _judged.c.source, _judged.c.kind)
    summed = (
        sa.select(*by, sa.func.count(), sa.func.sum(_judged.c.loss))
        .where(_judged.c.endpoint == endpoint, _judged.c.minute >= since_minute)
        .group_by(*by)
    )
    return [Losses(*row) for row in connection.execute(summed)]


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, replacing those with the same primary key."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = set(table.primary_key.columns.keys())
    changes = {name: statement.excluded[name] for name in (column.name for column in table.c) if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=sorted(keys), set_=changes), [dict(row) for row in rows]
    )
