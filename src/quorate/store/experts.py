"""How trust in the experts of combiners that learn has moved: a point a minute, thinned where there are many."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from quorate.store.bulk import upsert
from quorate.store.database import metadata

MOST = 400
"""Points that are kept of a strategy; with more, so many go that half of these are left, evenly in time."""

_experts = sa.Table(
    "experts",
    metadata,
    sa.Column("endpoint", sa.String(200), primary_key=True),
    sa.Column("strategy", sa.String(200), primary_key=True),
    sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("point", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)


class Point(NamedTuple):
    """What a combiner knew at Unix time ``at``, see :class:`quorate.core.combine.base.Told`; ``own`` may be unknown."""

    at: float
    rows: int
    own: float | None
    certificate: float
    trust: Mapping[str, float]
    losses: Mapping[str, float]


def put(connection: sa.Connection, endpoint: str, strategy: str, key: str, point: Point) -> None:
    """Keep a point, in the place of one of the same minute; ``key`` says what was learned of, points of others go."""
    minute, t = int(point.at // 60), _experts.c
    mine = (t.endpoint == endpoint, t.strategy == strategy)
    found = connection.scalar(sa.select(t.key).where(*mine, t.minute == minute))
    upsert(connection, _experts, [(endpoint, strategy, minute, key, _packed(point))])
    if found == key:
        return
    connection.execute(_experts.delete().where(*mine, t.key != key))
    minutes = connection.scalars(sa.select(t.minute).where(*mine).order_by(t.minute)).all()
    if len(minutes) > MOST:
        connection.execute(_experts.delete().where(*mine, t.minute.in_(_too_many(minutes))))


def points(connection: sa.Connection, endpoint: str, strategy: str, key: str) -> list[Point]:
    """What there is, the oldest first."""
    t = _experts.c
    query = sa.select(t.point).where(t.endpoint == endpoint, t.strategy == strategy, t.key == key).order_by(t.minute)
    return [Point(**json.loads(text)) for text in connection.scalars(query)]


def drop(connection: sa.Connection, endpoint: str) -> None:
    """Forget an endpoint's."""
    connection.execute(_experts.delete().where(_experts.c.endpoint == endpoint))


def _too_many(minutes: Sequence[int]) -> list[int]:
    """Those that go: of every stretch of time but the last of it; stretches are as long as a power of two in minutes.

    >>> _too_many(range(1, 402))[:4]
    [2, 4, 6, 8]
    """
    step = 1
    while (minutes[-1] - minutes[0]) / step > MOST / 2:
        step *= 2
    last = {minute // step: minute for minute in minutes}
    return [minute for minute in minutes if last[minute // step] != minute]


def _packed(point: Point) -> str:
    found: dict[str, Any] = point._asdict()
    for name in ("trust", "losses"):
        found[name] = {expert: float(f"{value:.6g}") for expert, value in found[name].items()}
    return json.dumps(found, separators=(",", ":"))
