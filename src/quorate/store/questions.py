"""Questions that control answers in the background: what was asked, how far it is, what came of it; a table a kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
ENDED = (DONE, FAILED, CANCELLED)
_JSON = ("question", "answer", "error")


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """One question; ``endpoint`` names what it is about, times are Unix seconds.

    ``answer`` and ``error`` are JSON objects, of one that has ended.
    """

    id: str
    endpoint: str
    question: Mapping[str, Any]
    author: str
    state: str
    created: float
    started: float | None = None
    finished: float | None = None
    answer: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


class Questions:
    """The questions of one kind, in the table of that name."""

    def __init__(self, name: str) -> None:
        self._table = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.String(32), primary_key=True),
            sa.Column("endpoint", sa.String(200), nullable=False),
            sa.Column("question", sa.Text, nullable=False),
            sa.Column("author", sa.String(200), nullable=False),
            sa.Column("state", sa.String(10), nullable=False),
            sa.Column("created", sa.Double, nullable=False),
            sa.Column("started", sa.Double, nullable=True),
            sa.Column("finished", sa.Double, nullable=True),
            sa.Column("answer", sa.Text, nullable=True),
            sa.Column("error", sa.Text, nullable=True),
            sa.Index(f"{name}_state", "state", "created"),
        )

    def add(self, connection: sa.Connection, asked: StoredQuestion) -> None:
        """Store a new one."""
        values = {name: getattr(asked, name) for name in StoredQuestion.__slots__}
        connection.execute(self._table.insert().values(**values | _packed(values)))

    def one(self, connection: sa.Connection, question_id: str) -> StoredQuestion | None:
        """One by its id."""
        row = connection.execute(sa.select(self._table).where(self._table.c.id == question_id)).first()
        return None if row is None else _unpacked(row)

    def newest(
        self,
        connection: sa.Connection,
        *,
        states: Sequence[str] = STATES,
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[StoredQuestion]:
        """The newest, newest first; ``before`` is creation time and id of one, for the next page."""
        table = self._table
        query = sa.select(table).where(table.c.state.in_(states))
        if before is not None:
            query = query.where(sa.tuple_(table.c.created, table.c.id) < sa.tuple_(*before))
        query = query.order_by(table.c.created.desc(), table.c.id.desc()).limit(limit)
        return [_unpacked(row) for row in connection.execute(query)]

    def update(self, connection: sa.Connection, question_id: str, *, states: Sequence[str], **changes: Any) -> bool:
        """Change one that is in one of ``states``; False where it is not."""
        chosen = self._table.update().where(self._table.c.id == question_id, self._table.c.state.in_(states))
        return connection.execute(chosen.values(**changes | _packed(changes))).rowcount == 1

    def remove(self, connection: sa.Connection, question_id: str) -> None:
        """Forget one."""
        connection.execute(self._table.delete().where(self._table.c.id == question_id))


def _packed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(values[name], sort_keys=True) for name in _JSON if values.get(name) is not None}


def _unpacked(row: Any) -> StoredQuestion:
    values = dict(row._mapping)
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return StoredQuestion(**values)
