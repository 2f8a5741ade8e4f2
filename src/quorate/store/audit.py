"""The audit trail: who changed what and when; rows are added, never changed or removed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

_audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: ``actor`` did ``action`` (``endpoint.apply``) to ``subject``, at Unix time ``at``."""

    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]


def add_entry(
    connection: sa.Connection, *, at: float, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Add an entry, in the transaction of the change that it is about; ``detail`` is JSON values."""
    connection.execute(
        _audit.insert().values(
            at=at, actor=actor[:200], action=action, subject=subject[:300], detail=json.dumps(detail, sort_keys=True)
        )
    )


def entries(connection: sa.Connection, *, before: int | None = None, limit: int = 100) -> list[Entry]:
    """The newest ``limit`` entries, newest first; ``before`` an id, for the next page."""
    query = sa.select(_audit).order_by(_audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_audit.c.id < before)
    return [
        Entry(number, at, actor, action, subject, json.loads(detail))
        for number, at, actor, action, subject, detail in connection.execute(query)
    ]
