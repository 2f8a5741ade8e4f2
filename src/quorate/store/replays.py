"""Replays in the store: what was asked, how far it is, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
ENDED = (DONE, FAILED, CANCELLED)

_replays = sa.Table(
    "replays",
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
    sa.Index("replays_state", "state", "created"),
)


@dataclass(frozen=True, slots=True)
class StoredReplay:
    """One replay; times are Unix seconds. ``answer`` and ``error`` are JSON objects, of one that has ended."""

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


def add_replay(connection: sa.Connection, replay: StoredReplay) -> None:
    """Store a new replay."""
    values = {name: getattr(replay, name) for name in StoredReplay.__slots__}
    connection.execute(_replays.insert().values(**values | _packed(values)))


def replay(connection: sa.Connection, replay_id: str) -> StoredReplay | None:
    """A replay by its id."""
    row = connection.execute(sa.select(_replays).where(_replays.c.id == replay_id)).first()
    return None if row is None else _replay(row)


def replays(
    connection: sa.Connection,
    *,
    states: Sequence[str] = STATES,
    before: tuple[float, str] | None = None,
    limit: int = 100,
) -> list[StoredReplay]:
    """The newest replays, newest first; ``before`` is creation time and id of one, for the next page."""
    query = sa.select(_replays).where(_replays.c.state.in_(states))
    if before is not None:
        query = query.where(sa.tuple_(_replays.c.created, _replays.c.id) < sa.tuple_(*before))
    query = query.order_by(_replays.c.created.desc(), _replays.c.id.desc()).limit(limit)
    return [_replay(row) for row in connection.execute(query)]


def update_replay(connection: sa.Connection, replay_id: str, *, states: Sequence[str], **changes: Any) -> bool:
    """Change a replay that is in one of ``states``; False where it is not."""
    chosen = _replays.update().where(_replays.c.id == replay_id, _replays.c.state.in_(states))
    return connection.execute(chosen.values(**changes | _packed(changes))).rowcount == 1


def remove_replay(connection: sa.Connection, replay_id: str) -> None:
    """Forget a replay."""
    connection.execute(_replays.delete().where(_replays.c.id == replay_id))


def _packed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(values[name], sort_keys=True)
        for name in ("question", "answer", "error")
        if values.get(name) is not None
    }


def _replay(row: Any) -> StoredReplay:
    values = dict(row._mapping)
    for name in ("question", "answer", "error"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return StoredReplay(**values)
