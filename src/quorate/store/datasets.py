"""Data sets in the store: which were exported, by whom and where to, and those that control is to export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

QUEUED, RUNNING, DONE, FAILED = STATES = ("queued", "running", "done", "failed")

_datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("endpoint", sa.String(200), nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("format", sa.String(20), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("finished", sa.Double, nullable=True),
    sa.Column("error", sa.Text, nullable=True),
    sa.Index("datasets_endpoint", "endpoint", "created"),
)


@dataclass(frozen=True, slots=True)
class Exported:
    """A data set; ``place`` is the path it is written to, ``digest`` that of its files, ``asked`` the options.

    ``created`` is when its writing was asked for; what is captured later may be missing from it.
    """

    id: str
    endpoint: str
    place: str
    format: str
    author: str
    created: float
    state: str
    rows: int = 0
    digest: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    finished: float | None = None
    error: str | None = None


def add_export(connection: sa.Connection, made: Exported) -> None:
    """Remember a data set that is, or is to be, written."""
    connection.execute(_datasets.insert().values(**{**asdict(made), "asked": json.dumps(made.asked, sort_keys=True)}))


def update_export(connection: sa.Connection, export_id: str, **changes: Any) -> None:
    """Change what is known of a data set."""
    connection.execute(_datasets.update().where(_datasets.c.id == export_id).values(**changes))


def remove_export(connection: sa.Connection, export_id: str) -> None:
    """Forget a data set."""
    connection.execute(_datasets.delete().where(_datasets.c.id == export_id))


def export_of(connection: sa.Connection, export_id: str) -> Exported | None:
    """A data set by its id."""
    row = connection.execute(sa.select(_datasets).where(_datasets.c.id == export_id)).first()
    return None if row is None else _exported(row)


def exports(
    connection: sa.Connection,
    endpoint: str | None = None,
    *,
    states: Sequence[str] = (RUNNING, DONE),
    limit: int = 1000,
) -> list[Exported]:
    """The data sets of an endpoint, or of all, newest first."""
    query = sa.select(_datasets).where(_datasets.c.state.in_(states))
    if endpoint is not None:
        query = query.where(_datasets.c.endpoint == endpoint)
    query = query.order_by(_datasets.c.created.desc(), _datasets.c.id.desc()).limit(limit)
    return [_exported(row) for row in connection.execute(query)]


def _exported(row: Any) -> Exported:
    return Exported(**{**row._mapping, "asked": json.loads(row.asked)})
