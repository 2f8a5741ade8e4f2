"""Jobs in the store: what was asked for, how far it is, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

QUEUED, RUNNING, DONE, FAILED, CANCELLED = STATES = ("queued", "running", "done", "failed", "cancelled")
ENDED = (DONE, FAILED, CANCELLED)

_jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("endpoint", sa.String(200), nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("input", sa.Text, nullable=True),
    sa.Column("input_format", sa.String(20), nullable=False),
    sa.Column("input_bytes", sa.BigInteger, nullable=False),
    sa.Column("input_stamp", sa.BigInteger, nullable=False),
    sa.Column("output_format", sa.String(20), nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("started", sa.Double, nullable=True),
    sa.Column("finished", sa.Double, nullable=True),
    sa.Column("error", sa.Text, nullable=True),
    sa.Column("total", sa.BigInteger, nullable=True),
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("result_bytes", sa.BigInteger, nullable=False),
    sa.Index("jobs_state", "state", "created"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. ``asked`` are its rows' options and context; ``input`` is a path in the project, None: uploaded.

    ``input_stamp`` is the file's time of change in nanoseconds: a job does not go on with another file. ``done`` and
    ``failed`` are rows (the failed ones among the done), ``total`` all of them where known. ``position`` is where the
    input goes on (a byte of NDJSON, a row of a table), ``result_bytes`` how much of the result belongs to it.
    """

    id: str
    kind: str
    endpoint: str
    asked: Mapping[str, Any]
    input: str | None
    input_format: str
    input_bytes: int
    input_stamp: int
    output_format: str
    author: str
    state: str
    created: float
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    total: int | None = None
    done: int = 0
    failed: int = 0
    position: int = 0
    result_bytes: int = 0


def add_job(connection: sa.Connection, job: Job) -> None:
    """Store a new job."""
    values = {name: getattr(job, name) for name in Job.__slots__}
    connection.execute(_jobs.insert().values(**{**values, "asked": json.dumps(dict(job.asked), sort_keys=True)}))


def job(connection: sa.Connection, job_id: str) -> Job | None:
    """A job by its id."""
    row = connection.execute(sa.select(_jobs).where(_jobs.c.id == job_id)).first()
    return None if row is None else _job(row)


def jobs(
    connection: sa.Connection,
    *,
    states: Sequence[str] = STATES,
    before: tuple[float, str] | None = None,
    limit: int = 100,
) -> list[Job]:
    """The newest jobs, newest first; ``before`` is creation time and id of one, for the next page."""
    query = sa.select(_jobs).where(_jobs.c.state.in_(states))
    if before is not None:
        query = query.where(sa.tuple_(_jobs.c.created, _jobs.c.id) < sa.tuple_(*before))
    query = query.order_by(_jobs.c.created.desc(), _jobs.c.id.desc()).limit(limit)
    return [_job(row) for row in connection.execute(query)]


def update_job(connection: sa.Connection, job_id: str, *, states: Sequence[str], **changes: Any) -> bool:
    """Change a job that is in one of ``states``; False where it is not."""
    chosen = _jobs.update().where(_jobs.c.id == job_id, _jobs.c.state.in_(states))
    return connection.execute(chosen.values(**changes)).rowcount == 1


def remove_job(connection: sa.Connection, job_id: str) -> None:
    """Forget a job."""
    connection.execute(_jobs.delete().where(_jobs.c.id == job_id))


def _job(row: Any) -> Job:
    return Job(**{**row._mapping, "asked": json.loads(row.asked)})


def forget_context(connection: sa.Connection, endpoint: str, matches: Callable[[Mapping[str, Any]], bool]) -> int:
    """Empty the context that ended jobs of an endpoint were asked with, where it is one of those; how many were."""
    found = sa.select(_jobs).where(_jobs.c.endpoint == endpoint, _jobs.c.state.in_(ENDED))
    told = [job for job in map(_job, connection.execute(found)) if matches(job.asked.get("context") or {})]
    for job in told:
        asked = json.dumps({**job.asked, "context": {}}, sort_keys=True)
        update_job(connection, job.id, states=ENDED, asked=asked)
    return len(told)
