"""The record of lessons: what every version of an endpoint's learned state was made of, so that it can be made again.

One row a version, written in the transaction that keeps the version. It says what was taught and in which order, or
that the state began anew; every so often, and wherever it does not follow from the row before, it has the state too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from quorate.store.database import metadata

TAUGHT, SEEN, OTHER = "taught", "seen", "other"
"""What made a version of the one before: outcomes; decisions that were looked at; what only the policy learned."""
BEGAN, RESET, WARM, FOUND = "began", "reset", "warm", "found"
"""Versions that do not follow from the one before: for another policy or other strategies; nothing is known any more;
learned anew from what is logged; it was there when the record began."""

BYTES = 512 << 20
"""Of an endpoint's record at most; beyond that the oldest goes."""

_lessons = sa.Table(
    "lessons",
    metadata,
    sa.Column("endpoint", sa.String(200), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("erased", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("strategies", sa.Text, nullable=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=True),
)
_t = _lessons.c


class Step(NamedTuple):
    """How a ``version`` of an endpoint's learned state came about, at Unix time ``at``.

    ``body`` are the lessons, packed: of ``rows`` rows or decisions without the ``erased`` ones. ``state`` is
    what combiners knew then, where it is kept, and ``strategies`` as JSON whose they are: key by name.
    """

    endpoint: str
    version: int
    at: float
    kind: str
    rows: int = 0
    erased: int = 0
    strategies: str | None = None
    body: bytes = b""
    state: bytes | None = None


def put(connection: sa.Connection, step: Step) -> None:
    """Keep a step, in the place of one of the same version."""
    mine = (_t.endpoint == step.endpoint, _t.version == step.version)
    connection.execute(_lessons.delete().where(*mine))
    size = len(step.body) + len(step.state or b"")
    connection.execute(_lessons.insert().values(**step._asdict(), size=size))


def last(connection: sa.Connection, endpoint: str) -> int | None:
    """The newest version on record."""
    found: int | None = connection.scalar(sa.select(sa.func.max(_t.version)).where(_t.endpoint == endpoint))
    return found


def first(connection: sa.Connection, endpoint: str) -> Step | None:
    """The oldest step on record."""
    found = steps(connection, endpoint, -1, 1)
    return found[0] if found else None


def with_states(connection: sa.Connection, endpoint: str) -> list[int]:
    """The versions whose states are kept, ascending."""
    wanted = sa.select(_t.version).where(_t.endpoint == endpoint, _t.state.is_not(None)).order_by(_t.version)
    return list(connection.scalars(wanted))


def steps(connection: sa.Connection, endpoint: str, after: int, most: int) -> list[Step]:
    """The first so many steps behind a version."""
    columns = [_t[name] for name in Step._fields]
    wanted = sa.select(*columns).where(_t.endpoint == endpoint, _t.version > after).order_by(_t.version).limit(most)
    return [Step(*row) for row in connection.execute(wanted)]


def taught_since(connection: sa.Connection, endpoint: str, since: float) -> Iterator[Step]:
    """The steps since Unix time ``since`` that outcomes made, without their states."""
    mine = (_t.endpoint == endpoint, _t.at >= since, _t.kind == TAUGHT)
    columns = [_t[name] for name in Step._fields if name != "state"]
    for version in list(connection.scalars(sa.select(_t.version).where(*mine).order_by(_t.version))):
        for row in connection.execute(sa.select(*columns).where(_t.endpoint == endpoint, _t.version == version)):
            yield Step(*row)


def erase(connection: sa.Connection, step: Step, body: bytes, rows: int, erased: int) -> None:
    """Put other lessons in the place of a step's, of which ``erased`` more were taken out."""
    mine = (_t.endpoint == step.endpoint, _t.version == step.version)
    size = _t.size - len(step.body) + len(body)
    values = {"body": body, "rows": rows, "erased": step.erased + erased, "size": size}
    connection.execute(_lessons.update().where(*mine).values(**values))


def prune(connection: sa.Connection, before: float) -> int:
    """Delete what no decision made since Unix time ``before`` needs, of all endpoints; how many versions that were."""
    kept = sa.select(_t.endpoint, sa.func.max(_t.version)).where(_t.state.is_not(None), _t.at <= before)
    return sum(_cut(connection, name, version) for name, version in connection.execute(kept.group_by(_t.endpoint)))


def bound(connection: sa.Connection, endpoint: str, most: int = BYTES) -> int:
    """Delete an endpoint's oldest versions beyond so many bytes, up to one whose state is kept; how many these were."""
    sizes = connection.execute(
        sa.select(_t.version, _t.size).where(_t.endpoint == endpoint).order_by(_t.version.desc())
    )
    total = 0
    for version, size in sizes.all():
        total += size
        if total > most:
            left = [each for each in with_states(connection, endpoint) if each > version]
            return _cut(connection, endpoint, left[0]) if left else 0
    return 0


def _cut(connection: sa.Connection, endpoint: str, version: int) -> int:
    return connection.execute(_lessons.delete().where(_t.endpoint == endpoint, _t.version < version)).rowcount
