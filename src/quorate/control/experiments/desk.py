"""The desk of experiments: what handlers ask for, over the parts that know."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from quorate.clock import Clock
from quorate.codecs.lookup import JournalReader
from quorate.control.experiments import concluding, planning, starting
from quorate.control.experiments.history import recent
from quorate.control.experiments.publishing import served
from quorate.control.experiments.registration import DAY, Registration, parse
from quorate.control.experiments.starting import required
from quorate.errors import Conflict
from quorate.home import Home
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.experiments import (
    REGISTERED,
    Experiment,
    Look,
    add_experiment,
    change_experiment,
    experiments,
    last_look,
    looks,
    remove_experiment,
)

WINDOW_DAYS = 28.0
LAST = 100
"""Requests that must have had the unit's key before an experiment starts, the newest."""


class ExperimentDesk:
    """Experiments of one project. Safe for threads; what changes anything is one transaction with its audit entry.

    ``expected`` is the version of the experiment that the caller has seen: :class:`Conflict` if it is another by now.
    """

    def __init__(self, home: Home, database: Database, journal: JournalReader, clock: Clock) -> None:
        self._home = home
        self._database = database
        self._journal = journal
        self._clock = clock

    def register(self, data: Any, *, author: str) -> Experiment:
        """Register an experiment on an endpoint that is served; :class:`InvalidInput`, :class:`NotFound`."""
        registration = parse(data)
        now = self._clock.now()
        made = Experiment(
            id=secrets.token_hex(8),
            name=registration.name,
            endpoint=registration.endpoint,
            registration=registration.model_dump(mode="json"),
            author=author,
            state=REGISTERED,
            version=1,
            created=now,
        )
        with self._database.begin() as connection:
            _, _, route, pool = served(connection, registration.endpoint)
            starting.check(registration, route, pool)
            add_experiment(connection, made)
            detail = {"endpoint": made.endpoint, "name": made.name, "digest": registration.digest}
            add_entry(connection, at=now, actor=author, action="experiment.register", subject=made.id, detail=detail)
        return made

    def revise(self, experiment_id: str, data: Any, *, author: str, expected: int | None = None) -> Experiment:
        """Put another registration in the place of one that has not started; :class:`Conflict` where it has."""
        registration = parse(data)
        now = self._clock.now()
        with self._database.begin() as connection:
            found = required(connection, experiment_id, expected)
            _untouched(found, "edited")
            _, _, route, pool = served(connection, registration.endpoint)
            starting.check(registration, route, pool)
            changes: dict[str, Any] = {"name": registration.name, "endpoint": registration.endpoint}
            changes |= {"registration": registration.model_dump(mode="json"), "author": author}
            change_experiment(connection, found.id, version=found.version, **changes)
            detail = {"endpoint": registration.endpoint, "name": registration.name, "digest": registration.digest}
            add_entry(connection, at=now, actor=author, action="experiment.revise", subject=found.id, detail=detail)
            return required(connection, experiment_id)

    def withdraw(self, experiment_id: str, *, author: str, expected: int | None = None) -> Experiment:
        """Forget an experiment that has not started; :class:`Conflict` where it has."""
        with self._database.begin() as connection:
            found = required(connection, experiment_id, expected)
            _untouched(found, "withdrawn")
            remove_experiment(connection, found.id)
            detail = {"endpoint": found.endpoint, "name": found.name}
            add_entry(
                connection,
                at=self._clock.now(),
                actor=author,
                action="experiment.withdraw",
                subject=found.id,
                detail=detail,
            )
        return found

    def start(self, experiment_id: str, *, author: str, expected: int | None = None) -> Experiment:
        """See :func:`quorate.control.experiments.starting.start`; :class:`Conflict` where callers send no unit too."""
        found = self.get(experiment_id)
        now = self._clock.now()
        last = list(recent(self._journal, found.endpoint, now - WINDOW_DAYS * DAY, now + 1.0, LAST))
        with self._database.read() as connection:
            _, _, route, _ = served(connection, found.endpoint)
        starting.check_carried(parse(found.registration), route, last)
        return starting.start(
            self._home, self._database, experiment_id, author=author, clock=self._clock, expected=expected
        )

    def conclude(self, experiment_id: str, action: str, *, author: str, expected: int | None = None) -> Experiment:
        """``stop``, ``promote`` or ``keep``; see :mod:`quorate.control.experiments.concluding`."""
        end = {"stop": concluding.stop, "promote": concluding.promote, "keep": concluding.keep}[action]
        return end(self._home, self._database, experiment_id, author=author, clock=self._clock, expected=expected)

    def get(self, experiment_id: str) -> Experiment:
        """An experiment; :class:`NotFound`."""
        with self._database.read() as connection:
            return required(connection, experiment_id)

    def latest(self, experiment_id: str) -> tuple[Experiment, Look | None]:
        """An experiment and its newest look, as they were at one time."""
        with self._database.read() as connection:
            found = required(connection, experiment_id)
            return found, last_look(connection, found.id)

    def looks(self, experiment_id: str) -> list[Look]:
        """All looks that were taken."""
        with self._database.read() as connection:
            return looks(connection, required(connection, experiment_id).id)

    def list(self, *, endpoint: str | None = None, before: str | None = None, limit: int = 100) -> list[Experiment]:
        """The newest experiments, newest first; ``before`` the id of one, for the next page."""
        with self._database.read() as connection:
            last = None if before is None else required(connection, before)
            page = None if last is None else (last.created, last.id)
            return experiments(connection, endpoint=endpoint, before=page, limit=limit)

    def plan(
        self,
        data: Any,
        *,
        days: float = WINDOW_DAYS,
        daily_units: float | None = None,
        presence: float | None = None,
    ) -> dict[str, Any]:
        """See :func:`quorate.control.experiments.planning.plan_from`."""
        registration = self._planned(data)
        found = planning.history(self._journal, self._database, registration, self._clock.now(), days=days)
        return planning.plan_from(found, registration, daily_units=daily_units, presence=presence)

    def self_test(self, data: Any, *, days: float = WINDOW_DAYS, runs: int, looks: int, seed: int) -> dict[str, Any]:
        """See :func:`quorate.control.experiments.planning.self_test`."""
        registration = self._planned(data)
        found = planning.history(self._journal, self._database, registration, self._clock.now(), days=days)
        return planning.self_test(found, registration, runs=runs, looks=looks, seed=seed)

    def _planned(self, data: Any) -> Registration:
        registration = planning.parse_plan(data)
        with self._database.read() as connection:
            _, _, route, pool = served(connection, registration.endpoint)
        starting.check(registration, route, pool)
        return registration


def _untouched(found: Experiment, what: str) -> None:
    if found.state != REGISTERED:
        raise Conflict(
            f"Experiment {found.id} is {found.state}, and cannot be {what}: what was registered stays. "
            + ("Stop it, and register another one." if found.conclusion is None else "Register another one."),
            path="id",
        )


def hidden(found: Experiment, registration: Mapping[str, Any]) -> bool:
    """Whether no arm's results may be shown yet, to operators either."""
    return bool(registration.get("hide_until_verdict")) and found.verdict is None and found.state != REGISTERED
