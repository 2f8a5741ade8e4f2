"""Erasures in the store: what was asked for, how far it is, and what came of it.

The subject of an erasure is a keyed hash, or decision ids; both are forgotten when it is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

QUEUED, WAITING, RUNNING, DONE = STATES = ("queued", "waiting", "running", "done")
OPEN = (QUEUED, WAITING, RUNNING)

_erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("endpoint", sa.String(200), nullable=False),
    sa.Column("by", sa.String(120), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("dry_run", sa.Boolean, nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("finished", sa.Double, nullable=True),
    sa.Column("error", sa.Text, nullable=True),
    sa.Column("report", sa.Text, nullable=False),
    sa.Index("erasures_state", "state", "created"),
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure. ``by`` is ``context.KEY``, ``unit`` or ``decision``; times are Unix seconds.

    ``subject`` is the keyed hash of the value, or a JSON list of decision ids; ``token`` marks what it has taken out.
    Both are empty once it is done. ``error`` is what keeps it from going on now.
    """

    id: str
    endpoint: str
    by: str
    subject: str
    token: str
    dry_run: bool
    author: str
    state: str
    created: float
    finished: float | None = None
    error: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


def add_erasure(connection: sa.Connection, erasure: Erasure) -> None:
    """Store a new erasure."""
    connection.execute(_erasures.insert().values(**{**asdict(erasure), "report": json.dumps(erasure.report)}))


def erasure(connection: sa.Connection, erasure_id: str) -> Erasure | None:
    """An erasure by its id."""
    row = connection.execute(sa.select(_erasures).where(_erasures.c.id == erasure_id)).first()
    return None if row is None else _erasure(row)


def erasures(connection: sa.Connection, *, states: Sequence[str] = STATES, limit: int = 100) -> list[Erasure]:
    """The newest erasures, newest first."""
    query = sa.select(_erasures).where(_erasures.c.state.in_(states))
    query = query.order_by(_erasures.c.created.desc(), _erasures.c.id.desc()).limit(limit)
    return [_erasure(row) for row in connection.execute(query)]


def update_erasure(connection: sa.Connection, erasure_id: str, **changes: Any) -> None:
    """Change an erasure."""
    if "report" in changes:
        changes["report"] = json.dumps(changes["report"])
    connection.execute(_erasures.update().where(_erasures.c.id == erasure_id).values(**changes))


def _erasure(row: Any) -> Erasure:
    return Erasure(**{**row._mapping, "report": json.loads(row.report)})
