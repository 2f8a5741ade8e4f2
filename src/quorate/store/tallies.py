"""What outcomes amount to, as sums by minute of the decision: how rows turned out, whose values came, and how late.

Everything here adds up: a correction subtracts what it replaces and adds what it is. Nothing is kept by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from quorate.store.bulk import upsert
from quorate.store.database import metadata

SCORES, VALUES, WORTH, REWARD = "truth.scores", "truth.values", "value", "reward."
"""Metrics that are summed: 0 or 1 for a wrong class, the absolute error, the business value; and rewards by name."""


def _by_minute() -> list[sa.Column[Any]]:
    return [
        sa.Column("endpoint", sa.String(200), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
    ]


_measured = sa.Table(
    "measured",
    metadata,
    *_by_minute(),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("strategy", sa.String(200), primary_key=True),
    sa.Column("source", sa.String(20), primary_key=True),
    sa.Column("metric", sa.String(80), primary_key=True),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("decisions", "rows", "row_squares")),
    *(sa.Column(name, sa.Double, nullable=False) for name in ("total", "squares", "products")),
    sqlite_with_rowid=False,
)

_told = sa.Table(
    "told",
    metadata,
    *_by_minute(),
    sa.Column("metric", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(64), primary_key=True),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("joined", "replaced", "late", "invalid")),
    sqlite_with_rowid=False,
)

_delays = sa.Table(
    "delays",
    metadata,
    *_by_minute(),
    sa.Column("metric", sa.String(64), primary_key=True),
    sa.Column("counts", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)


class Sums(NamedTuple):
    """Sums over decisions with n rows that have the metric, adding up to s: of 1, n, n², s, s² and n s."""

    decisions: int = 0
    rows: int = 0
    row_squares: int = 0
    total: float = 0.0
    squares: float = 0.0
    products: float = 0.0

    def plus(self, other: Sums) -> Sums:
        """The sums of both."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))  # type: ignore[arg-type]


class ToldCounts(NamedTuple):
    """How many values are in which state."""

    joined: int = 0
    replaced: int = 0
    late: int = 0
    invalid: int = 0


def add_measured(
    connection: sa.Connection, sums: Mapping[tuple[str, int, int, str, str, str], Iterable[float]]
) -> None:
    """Add sums, in the order of :class:`Sums`, to those of endpoint, minute, revision, strategy, source and metric.

    ``strategy`` is the assigned one, ``source`` that of the decision.
    """
    upsert(connection, _measured, [(*key, *each) for key, each in sums.items()], add=Sums._fields)


def add_told(connection: sa.Connection, counts: Mapping[tuple[str, int, str, str], Iterable[int]]) -> None:
    """Add counts, in the order of :class:`ToldCounts`, to those of endpoint, minute, metric and source of values."""
    upsert(connection, _told, [(*key, *each) for key, each in counts.items()], add=ToldCounts._fields)


def add_delays(connection: sa.Connection, counts: Mapping[tuple[str, int, str], Mapping[int, int]]) -> None:
    """Add counts by bucket to those of endpoint, minute and metric; negative ones take away."""
    rows = []
    for key, fresh in counts.items():
        mine = [column == value for column, value in zip(_delays.c, key, strict=False)]
        found = connection.scalar(sa.select(_delays.c.counts).where(*mine))
        total = {} if found is None else _buckets(found)
        for bucket, count in fresh.items():
            total[bucket] = total.get(bucket, 0) + count
        kept = {str(bucket): total[bucket] for bucket in sorted(total) if total[bucket]}
        rows.append((*key, json.dumps(kept, separators=(",", ":"))))
    upsert(connection, _delays, rows)


def measured(connection: sa.Connection, endpoint: str, since_minute: int) -> dict[tuple[str, str, str], Sums]:
    """Sums of an endpoint's decisions from a minute on, by strategy, source of the decision, and metric."""
    t = _measured.c
    by = (t.strategy, t.source, t.metric)
    sums = (sa.func.sum(t[name]) for name in Sums._fields)
    query = sa.select(*by, *sums).where(t.endpoint == endpoint, t.minute >= since_minute).group_by(*by)
    # PostgreSQL's sums of integers are decimals.
    return {
        (row[0], row[1], row[2]): Sums(int(row[3]), int(row[4]), int(row[5]), *map(float, row[6:]))
        for row in connection.execute(query)
    }


def measured_over(
    connection: sa.Connection, endpoint: str, since_minute: int, step: int, *, without: str
) -> dict[tuple[str, str, int], Sums]:
    """The same sums over time: by strategy, metric, and the first minute of each time of ``step`` minutes.

    Such times begin at multiples of ``step``. Decisions of the source ``without`` are left out.
    """
    t = _measured.c
    by = (t.strategy, t.metric, (t.minute - t.minute % step).label("start"))
    sums = (sa.func.sum(t[name]) for name in Sums._fields)
    mine = (t.endpoint == endpoint, t.minute >= since_minute, t.source != without)
    query = (
        sa.select(*by, *sums).where(*mine).group_by(t.strategy, t.metric, sa.text("start")).order_by(sa.text("start"))
    )
    return {
        (row[0], row[1], int(row[2])): Sums(int(row[3]), int(row[4]), int(row[5]), *map(float, row[6:]))
        for row in connection.execute(query)
    }


def told_counts(connection: sa.Connection, endpoint: str, since_minute: int) -> dict[tuple[str, str], ToldCounts]:
    """Values told of an endpoint's decisions from a minute on, by metric and source."""
    t = _told.c
    sums = (sa.func.sum(t[name]) for name in ToldCounts._fields)
    query = sa.select(t.metric, t.source, *sums).where(t.endpoint == endpoint, t.minute >= since_minute)
    found = connection.execute(query.group_by(t.metric, t.source).order_by(t.metric, t.source))
    return {(row[0], row[1]): ToldCounts(*map(int, row[2:])) for row in found}


def delays(
    connection: sa.Connection, endpoint: str, since_minute: int, *, metric: str | None = None, every: int = 1
) -> dict[str, dict[int, dict[int, int]]]:
    """Delays of the outcomes of an endpoint's decisions from a minute on: counts by metric, minute and bucket.

    Of one metric, if given, and of minutes that ``every`` divides.
    """
    t = _delays.c
    query = sa.select(t.metric, t.minute, t.counts).where(t.endpoint == endpoint, t.minute >= since_minute)
    if metric is not None:
        query = query.where(t.metric == metric)
    if every > 1:
        query = query.where(t.minute % every == 0)
    found: dict[str, dict[int, dict[int, int]]] = {}
    for name, minute, counts in connection.execute(query.order_by(t.metric, t.minute)):
        found.setdefault(name, {})[minute] = _buckets(counts)
    return found


def rows_by_minute(connection: sa.Connection, endpoint: str, since_minute: int, *, every: int = 1) -> dict[int, int]:
    """How many rows an endpoint was asked about, by minute, of those that ``every`` divides."""
    found = connection.execute(
        sa.text(
            "SELECT minute, sum(rows) FROM traffic WHERE endpoint = :endpoint AND minute >= :minute "
            "AND minute % :every = 0 GROUP BY minute"
        ),
        {"endpoint": endpoint, "minute": since_minute, "every": every},
    )
    return {row[0]: int(row[1]) for row in found}


def _buckets(text: str) -> dict[int, int]:
    return {int(bucket): int(count) for bucket, count in json.loads(text).items()}
