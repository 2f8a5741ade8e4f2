"""What policies have learned: the truth of it, kept in the transaction that says how far the journals are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from quorate.store.database import metadata

_learners = sa.Table(
    "learners",
    metadata,
    sa.Column("endpoint", sa.String(200), primary_key=True),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("counts", sa.Text, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredLearner:
    """An endpoint's learner. ``version`` grows with every change of ``state``, also when it begins anew for another
    ``key``. ``state`` is as it is published. ``counts`` are rows by what became of them; ``since`` and ``updated`` Unix
    seconds."""

    endpoint: str
    key: str
    version: int
    state: bytes
    since: float
    updated: float
    counts: Mapping[str, int] = field(default_factory=dict)

    def counting(self, more: Mapping[str, int]) -> StoredLearner:
        """The same with counts added."""
        names = sorted(self.counts.keys() | more.keys())
        return replace(self, counts={name: self.counts.get(name, 0) + more.get(name, 0) for name in names})


def learner(connection: sa.Connection, endpoint: str) -> StoredLearner | None:
    """An endpoint's learner; None where it has not learned anything yet."""
    row = connection.execute(sa.select(_learners).where(_learners.c.endpoint == endpoint)).one_or_none()
    return None if row is None else StoredLearner(**{**row._mapping, "counts": json.loads(row.counts)})


def versions(connection: sa.Connection) -> dict[str, int]:
    """The version of every endpoint's state."""
    return {row[0]: row[1] for row in connection.execute(sa.select(_learners.c.endpoint, _learners.c.version))}


def put(connection: sa.Connection, new: StoredLearner) -> None:
    """Keep a learner in the place of the one before."""
    values = {
        "key": new.key,
        "version": new.version,
        "state": new.state,
        "counts": json.dumps(dict(new.counts), separators=(",", ":")),
        "since": new.since,
        "updated": new.updated,
    }
    mine = _learners.c.endpoint == new.endpoint
    if not connection.execute(_learners.update().where(mine).values(**values)).rowcount:
        connection.execute(_learners.insert().values(endpoint=new.endpoint, **values))
