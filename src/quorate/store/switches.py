"""Switches of endpoints, numbered; and what was planned before them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from quorate.store.database import metadata

REVISION, POLICY = "revision", "policy"
"""Causes: a revision that answers otherwise, or a policy that has learned to."""

_switches = sa.Table(
    "switches",
    metadata,
    sa.Column("endpoint", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("cause", sa.String(10), nullable=False),
    sa.Column("mark", sa.String(80), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.UniqueConstraint("endpoint", "cause", "mark", name="switches_mark"),
)

_plans = sa.Table(
    "switch_plans",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("endpoint", sa.String(200), nullable=False),
    sa.Column("made", sa.Double, nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("target", sa.String(80), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Index("switch_plans_endpoint", "endpoint", "made"),
)

_KEPT = 100


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch. ``at`` is Unix seconds; ``mark`` is unique for the endpoint and cause: the revision's number, or what
    the policy had learned for and how often it had switched. ``revision`` is the one that answered afterwards."""

    endpoint: str
    number: int
    at: float
    cause: str
    mark: str
    revision: int
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What was planned; ``target`` is the digest of the revision it would make, or ``to:STRATEGY``."""

    id: str
    endpoint: str
    made: float
    author: str
    target: str
    plan: str


def add(connection: sa.Connection, switch: Switch) -> Switch:
    """Add a switch under the endpoint's next number, whatever number it has; needs a writing transaction."""
    newest = sa.select(sa.func.max(_switches.c.number)).where(_switches.c.endpoint == switch.endpoint)
    number = (connection.scalar(newest) or 0) + 1
    values = {
        "endpoint": switch.endpoint,
        "number": number,
        "at": switch.at,
        "cause": switch.cause,
        "mark": switch.mark,
        "revision": switch.revision,
        "detail": json.dumps(dict(switch.detail), separators=(",", ":")),
    }
    connection.execute(_switches.insert().values(**values))
    return Switch(switch.endpoint, number, switch.at, switch.cause, switch.mark, switch.revision, switch.detail)


def switches(connection: sa.Connection, endpoint: str) -> list[Switch]:
    """All switches of an endpoint, the first one first."""
    found = sa.select(_switches).where(_switches.c.endpoint == endpoint).order_by(_switches.c.number)
    return [Switch(**{**row._mapping, "detail": json.loads(row.detail)}) for row in connection.execute(found)]


def add_plan(
    connection: sa.Connection, endpoint: str, target: str, plan: str, *, author: str, now: float
) -> StoredPlan:
    """Keep a plan; of an endpoint the newest 100 are kept. Needs a writing transaction."""
    made = StoredPlan(secrets.token_hex(8), endpoint, now, author, target, plan)
    connection.execute(
        _plans.insert().values(id=made.id, endpoint=endpoint, made=now, author=author, target=target, plan=plan)
    )
    mine = _plans.c.endpoint == endpoint
    kept = sa.select(_plans.c.id).where(mine).order_by(_plans.c.made.desc(), _plans.c.id).limit(_KEPT)
    connection.execute(_plans.delete().where(mine, _plans.c.id.not_in(kept)))
    return made


def plan_before(connection: sa.Connection, endpoint: str, targets: tuple[str, ...], at: float) -> StoredPlan | None:
    """The newest plan of an endpoint for one of the targets that was made by ``at``; None where there is none."""
    query = (
        sa.select(_plans)
        .where(_plans.c.endpoint == endpoint, _plans.c.target.in_(targets), _plans.c.made <= at)
        .order_by(_plans.c.made.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredPlan(**row._mapping)
