"""Experiments in the store: registrations and their states; exposures and values of their metrics; looks.

Rows of exposures and values have the decision in their key, so that storing one again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from quorate.store.database import metadata

REGISTERED, RUNNING, DECIDED, ENDED = STATES = ("registered", "running", "decided", "ended")
ACTIVE = (RUNNING, DECIDED)
"""States in which an experiment's split is what its endpoint serves."""

_experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("endpoint", sa.String(200), nullable=False),
    sa.Column("registration", sa.Text, nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("started", sa.Double, nullable=True),
    sa.Column("ended", sa.Double, nullable=True),
    sa.Column("base_revision", sa.Integer, nullable=True),
    sa.Column("revision", sa.Integer, nullable=True),
    sa.Column("verdict", sa.Text, nullable=True),
    sa.Column("conclusion", sa.Text, nullable=True),
    sa.Index("experiments_state", "state", "endpoint"),
)

_exposures = sa.Table(
    "experiment_exposures",
    metadata,
    sa.Column("experiment", sa.String(32), primary_key=True),
    sa.Column("decision", sa.String(36), primary_key=True),
    sa.Column("unit", sa.Text, nullable=True),
    sa.Column("arm", sa.String(200), nullable=False),
    sa.Column("source", sa.String(20), nullable=False),
    sa.Column("arrived", sa.Double, nullable=False),
    sa.Column("latency_ms", sa.Double, nullable=True),
    sa.Column("error", sa.Boolean, nullable=False),
    sa.Column("degraded", sa.Boolean, nullable=False),
    sa.Column("fallback", sa.Boolean, nullable=False),
    sa.Column("keys", sa.Text, nullable=True),
)

_values = sa.Table(
    "experiment_values",
    metadata,
    sa.Column("experiment", sa.String(32), primary_key=True),
    sa.Column("decision", sa.String(36), primary_key=True),
    sa.Column("metric", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("total", sa.Double, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

_covariates = sa.Table(
    "experiment_covariates",
    metadata,
    sa.Column("experiment", sa.String(32), primary_key=True),
    sa.Column("unit", sa.String(1000), primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

_looks = sa.Table(
    "experiment_looks",
    metadata,
    sa.Column("experiment", sa.String(32), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

_JSON = ("registration", "verdict", "conclusion")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment. ``version`` grows with every change of state; times are Unix seconds.

    ``base_revision`` is what the endpoint served before, ``revision`` the split itself. ``ended`` is when the verdict
    was reached: nothing later is part of it.
    """

    id: str
    name: str
    endpoint: str
    registration: Mapping[str, Any]
    author: str
    state: str
    version: int
    created: float
    started: float | None = None
    ended: float | None = None
    base_revision: int | None = None
    revision: int | None = None
    verdict: Mapping[str, Any] | None = None
    conclusion: Mapping[str, Any] | None = None


class Exposure(NamedTuple):
    """One decision under an experiment: the assigned ``arm``, and the context ``keys`` it asked for (JSON)."""

    experiment: str
    decision: str
    unit: str | None
    arm: str
    source: str
    arrived: float
    latency_ms: float | None
    error: bool
    degraded: bool
    fallback: bool
    keys: str | None


class Value(NamedTuple):
    """What is known of one metric of a decision: ``number`` rows that have it, their ``total``, known since ``at``."""

    experiment: str
    decision: str
    metric: str
    number: int
    total: float
    at: float


@dataclass(frozen=True, slots=True)
class Look:
    """One look that was taken; ``body`` is everything that was seen, JSON values."""

    experiment: str
    number: int
    at: float
    body: Mapping[str, Any]


# --- experiments ----------------------------------------------------------------------------------


def add_experiment(connection: sa.Connection, experiment: Experiment) -> None:
    """Store a new experiment."""
    values = {name: getattr(experiment, name) for name in Experiment.__slots__}
    connection.execute(_experiments.insert().values(**_encoded(values)))


def experiment(connection: sa.Connection, experiment_id: str) -> Experiment | None:
    """An experiment by its id."""
    row = connection.execute(sa.select(_experiments).where(_experiments.c.id == experiment_id)).first()
    return None if row is None else _experiment(row)


def experiments(
    connection: sa.Connection,
    *,
    states: Sequence[str] = STATES,
    endpoint: str | None = None,
    before: tuple[float, str] | None = None,
    limit: int | None = None,
) -> list[Experiment]:
    """Experiments, newest first; ``before`` is creation time and id of one, for the next page."""
    query = sa.select(_experiments).where(_experiments.c.state.in_(states))
    if endpoint is not None:
        query = query.where(_experiments.c.endpoint == endpoint)
    if before is not None:
        query = query.where(sa.tuple_(_experiments.c.created, _experiments.c.id) < sa.tuple_(*before))
    query = query.order_by(_experiments.c.created.desc(), _experiments.c.id.desc()).limit(limit)
    return [_experiment(row) for row in connection.execute(query)]


def change_experiment(connection: sa.Connection, experiment_id: str, *, version: int, **changes: Any) -> bool:
    """Change an experiment that is at ``version``, which grows by one; False where it is at another by now."""
    chosen = _experiments.update().where(_experiments.c.id == experiment_id, _experiments.c.version == version)
    return connection.execute(chosen.values(version=version + 1, **_encoded(changes))).rowcount == 1


def remove_experiment(connection: sa.Connection, experiment_id: str) -> None:
    """Forget an experiment and all that was gathered for it."""
    connection.execute(_experiments.delete().where(_experiments.c.id == experiment_id))
    for table in (_exposures, _values, _covariates, _looks):
        connection.execute(table.delete().where(table.c.experiment == experiment_id))


def _encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value, sort_keys=True) if name in _JSON and value is not None else value
        for name, value in values.items()
    }


def _experiment(row: Any) -> Experiment:
    found = dict(row._mapping)
    return Experiment(**found | {name: json.loads(found[name]) for name in _JSON if found[name] is not None})


# --- what was gathered ----------------------------------------------------------------------------


def put_exposures(connection: sa.Connection, exposures: Iterable[Exposure]) -> None:
    """Store exposures; one that is there already stays as it is."""
    rows = [exposure._asdict() for exposure in exposures]
    if rows:
        connection.execute(_insert(connection, _exposures).on_conflict_do_nothing(), rows)


def put_values(connection: sa.Connection, values: Iterable[Value]) -> None:
    """Store values of metrics; a later one of the same decision and metric takes the earlier one's place.

    When it was known first stays, so what an earlier look saw comes first in a later one's order too.
    """
    _replace(connection, _values, [value._asdict() for value in values], but=("at",))


def put_covariates(connection: sa.Connection, experiment_id: str, values: Mapping[str, float]) -> None:
    """Store what units were like before the experiment."""
    rows = [{"experiment": experiment_id, "unit": unit, "value": value} for unit, value in values.items()]
    _replace(connection, _covariates, rows)


def exposures(connection: sa.Connection, experiment_id: str, until: float | None = None) -> list[Exposure]:
    """An experiment's exposures up to a time, in the order they arrived."""
    query = sa.select(_exposures).where(_exposures.c.experiment == experiment_id)
    if until is not None:
        query = query.where(_exposures.c.arrived <= until)
    query = query.order_by(_exposures.c.arrived, _exposures.c.decision)
    return [Exposure(*row) for row in connection.execute(query)]


def values(connection: sa.Connection, experiment_id: str, until: float | None = None) -> list[Value]:
    """What is known of an experiment's metrics that was known up to a time."""
    query = sa.select(_values).where(_values.c.experiment == experiment_id)
    if until is not None:
        query = query.where(_values.c.at <= until)
    return [Value(*row) for row in connection.execute(query)]


def covariates(connection: sa.Connection, experiment_id: str) -> dict[str, float]:
    """What units were like before the experiment, by unit."""
    query = sa.select(_covariates.c.unit, _covariates.c.value).where(_covariates.c.experiment == experiment_id)
    return {row.unit: row.value for row in connection.execute(query)}


def exposure_count(connection: sa.Connection, experiment_id: str) -> int:
    """How many decisions an experiment has."""
    query = sa.select(sa.func.count()).select_from(_exposures).where(_exposures.c.experiment == experiment_id)
    return connection.scalar(query) or 0


# --- looks ----------------------------------------------------------------------------------------


def add_look(connection: sa.Connection, look: Look) -> None:
    """Store a look; :class:`sqlalchemy.exc.IntegrityError` if that number was taken before."""
    body = json.dumps(look.body, sort_keys=True, allow_nan=False)
    connection.execute(_looks.insert().values(experiment=look.experiment, number=look.number, at=look.at, body=body))


def looks(connection: sa.Connection, experiment_id: str) -> list[Look]:
    """All looks of an experiment, in order."""
    query = sa.select(_looks).where(_looks.c.experiment == experiment_id).order_by(_looks.c.number)
    return [Look(row.experiment, row.number, row.at, json.loads(row.body)) for row in connection.execute(query)]


def last_look(connection: sa.Connection, experiment_id: str) -> Look | None:
    """The newest look of an experiment."""
    query = sa.select(_looks).where(_looks.c.experiment == experiment_id).order_by(_looks.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else Look(row.experiment, row.number, row.at, json.loads(row.body))


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _replace(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], but: Sequence[str] = ()
) -> None:
    if not rows:
        return
    statement = _insert(connection, table)
    keys = {*table.primary_key.columns.keys()}
    changes = {column.name: statement.excluded[column.name] for column in table.c if column.name not in {*keys, *but}}
    connection.execute(
        statement.on_conflict_do_update(index_elements=sorted(keys), set_=changes), [dict(row) for row in rows]
    )
