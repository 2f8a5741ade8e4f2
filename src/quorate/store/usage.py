"""What serving used, by minute: processor time and memory of processes, runs of pools and members, requests.

All columns add up, so that a minute that is written twice (a restart, a clock that went backward) is the sum of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from quorate.store.database import metadata

WORKER, CONTROL, HOST, POOL, MEMBER, ENDPOINT = "worker", "control", "host", "pool", "member", "endpoint"
"""Kinds of what uses: worker processes, control and the others, a member's own processes, and what runs in them."""


class Used(NamedTuple):
    """Sums over ``seconds`` of watching: processor seconds, bytes of memory times seconds, seconds and number of runs,
    requests."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    byte_s: float = 0.0
    run_s: float = 0.0
    runs: float = 0.0
    requests: float = 0.0

    def plus(self, other: Used) -> Used:
        """Both together."""
        return Used(*(a + b for a, b in zip(self, other, strict=True)))


class UsageKey(NamedTuple):
    """Whose usage, in which minute (Unix time / 60)."""

    minute: int
    kind: str
    name: str


_usage = sa.Table(
    "usage_minutes",
    metadata,
    sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(10), primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    *(sa.Column(name, sa.Double, nullable=False) for name in Used._fields),
    sqlite_with_rowid=False,
)


def add(connection: sa.Connection, used: Mapping[UsageKey, Used]) -> None:
    """Add to what is known of the same minutes; needs a writing transaction."""
    if not used:
        return
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(_usage)
    sums = {name: _usage.c[name] + statement.excluded[name] for name in Used._fields}
    upsert = statement.on_conflict_do_update(index_elements=list(UsageKey._fields), set_=sums)
    connection.execute(upsert, [{**key._asdict(), **each._asdict()} for key, each in used.items()])


def between(connection: sa.Connection, first: int, end: int) -> dict[tuple[str, str], Used]:
    """Sums by kind and name over the minutes from ``first``, before ``end``."""
    by = (_usage.c.kind, _usage.c.name)
    sums = (sa.func.sum(_usage.c[name]) for name in Used._fields)
    query = sa.select(*by, *sums).where(_usage.c.minute >= first, _usage.c.minute < end).group_by(*by)
    return {(row[0], row[1]): Used(*map(float, row[2:])) for row in connection.execute(query)}


def timeline(connection: sa.Connection, kind: str, first: int, end: int) -> dict[UsageKey, Used]:
    """Every minute from ``first``, before ``end``, of one kind, in order of time."""
    found = (
        sa.select(_usage)
        .where(_usage.c.kind == kind, _usage.c.minute >= first, _usage.c.minute < end)
        .order_by(_usage.c.minute, _usage.c.name)
    )
    return {UsageKey(*row[:3]): Used(*row[3:]) for row in connection.execute(found)}


def prune(connection: sa.Connection, before: int) -> int:
    """Forget the minutes before one; returns how many rows went."""
    return int(connection.execute(_usage.delete().where(_usage.c.minute < before)).rowcount)
