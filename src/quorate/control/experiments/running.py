"""What goes on while experiments run: looks at their times, verdicts, and what follows from them by itself.

Every look is stored with all it saw, in the transaction that also decides; a look that was taken is never taken again.
A process that dies in between leaves either no look, or one whose verdict the next pass carries out.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import sqlalchemy as sa

from quorate.clock import Clock
from quorate.codecs.lookup import JournalReader
from quorate.control.alone import keep_doing
from quorate.control.experiments import analysis, metrics, observations
from quorate.control.experiments.concluding import keep, promote, stop
from quorate.control.experiments.pre_period import PrePeriods
from quorate.control.experiments.publishing import own
from quorate.control.experiments.registration import parse
from quorate.control.experiments.starting import pin_name
from quorate.control.experiments.verdict import RESTORING, carried_out, verdict
from quorate.control.journal.pins import Pin, pin, pins, unpin
from quorate.control.revisions.publication import changing, repair
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.experiments import (
    ACTIVE,
    DECIDED,
    RUNNING,
    Experiment,
    Look,
    add_look,
    change_experiment,
    experiments,
    last_look,
)
from quorate.store.experiments import experiment as stored

log = logging.getLogger("quorate.control")


def follow(
    home: Home,
    database: Database,
    reader: JournalReader,
    clock: Clock,
    stopping: threading.Event,
    *,
    every_s: float = 1.0,
) -> None:
    """Look after the experiments of a project until ``stopping`` is set; errors are logged."""
    runner = Runner(home, database, reader, clock)
    tasks = {"Experiments cannot be looked after": runner.run}
    keep_doing(home, "experiments", tasks, stopping, every_s=every_s)


class Runner:
    """Looks after all experiments; one at a time in a project (:func:`follow` holds a lock)."""

    def __init__(self, home: Home, database: Database, reader: JournalReader, clock: Clock) -> None:
        self._home = home
        self._database = database
        self._clock = clock
        self._before = PrePeriods(database, reader)
        self._last: dict[str, Look | None] = {}
        self._swept = False

    def run(self) -> None:
        """One pass: what a crash left, looks that are due, conclusions that follow by themselves."""
        if not self._swept:
            self._sweep()
        with self._database.read() as connection:
            active = experiments(connection, states=ACTIVE)
            ours = {found.id: own(connection, found.endpoint, found.revision) for found in active}
        self._last = {name: look for name, look in self._last.items() if name in ours}
        for found in active:
            try:
                if found.state == RUNNING and not ours[found.id]:
                    self._stop(found, {"verdict": "interrupted", "reason": "endpoint_changed"})
                elif found.state == RUNNING:
                    self._look_if_due(found)
                else:
                    self._carry_out(found)
            except (QuorateError, OSError) as error:
                log.error("Experiment %s (%s) cannot be looked after: %s", found.name, found.id, error)
            except Exception:  # a fault of ours in one of them must not end the others
                log.exception("Experiment %s (%s) cannot be looked after", found.name, found.id)

    def _sweep(self) -> None:
        """After a crash: the snapshot as the store has it, a pin for every experiment that runs and no other."""
        with changing(self._home):
            repair(self._home, self._database)
            with self._database.read() as connection:
                active = {pin_name(found.id): found for found in experiments(connection, states=ACTIVE)}
            there = {held.name for held in pins(self._home, self._clock.now())}
            for name in active.keys() - there:
                found = active[name]
                pin(self._home, Pin(name, found.started or found.created, f"experiment {found.id}"))
            for name in there - active.keys():
                if name.startswith(pin_name("")):
                    unpin(self._home, name)
        self._swept = True

    def _look_if_due(self, found: Experiment) -> None:
        if found.id not in self._last:
            with self._database.read() as connection:
                self._last[found.id] = last_look(connection, found.id)
        last = self._last[found.id]
        if last is not None and last.body.get("verdict") is not None:
            self._stop(found, dict(last.body["verdict"]))  # a crash came between the look and what follows from it
            return
        registration, now = parse(found.registration), self._clock.now()
        started = found.started or found.created
        due = (last.at if last is not None else started) + registration.look_every_s
        if now >= min(due, started + registration.stop.max_days * 86_400):
            self._take(found, last, max(now, last.at if last is not None else now))

    def _take(self, found: Experiment, last: Look | None, at: float) -> None:
        registration = parse(found.registration)
        self._before.ensure(found, registration)
        with self._database.read() as connection:
            units = observations.load(connection, found.id, registration, at)
        reached: dict[str, Any] | None
        try:
            body = analysis.look(registration, units, at=at, started=found.started or found.created)
            reached = verdict(body, higher_is_better=metrics.higher_is_better(registration.metric))
            if reached is not None:
                body["segments"] = analysis.segments(registration, units)
        except ValueError as error:  # values that the registration rules out
            body = {"problem": str(error)}
            reached = {"verdict": "invalid", "reason": "values", "problem": str(error)}
        body["verdict"] = reached
        look = Look(found.id, 1 if last is None else last.number + 1, at, body)
        with self._database.begin() as connection:
            now = stored(connection, found.id)
            if now is None or now.version != found.version:
                return  # stopped meanwhile
            add_look(connection, look)
            if reached is not None and reached["verdict"] not in RESTORING:
                self._decide(connection, found, reached, at)
        self._last[found.id] = look
        if reached is not None and reached["verdict"] in RESTORING:
            self._stop(found, reached)

    def _decide(self, connection: sa.Connection, found: Experiment, reached: dict[str, Any], at: float) -> None:
        change_experiment(connection, found.id, version=found.version, state=DECIDED, ended=at, verdict=reached)
        detail = {"endpoint": found.endpoint, "name": found.name, "verdict": reached["verdict"]}
        add_entry(connection, at=at, actor=_actor(found), action="experiment.verdict", subject=found.id, detail=detail)

    def _stop(self, found: Experiment, reached: dict[str, Any]) -> None:
        stop(
            self._home,
            self._database,
            found.id,
            author=_actor(found),
            clock=self._clock,
            expected=found.version,
            verdict=reached,
        )

    def _carry_out(self, found: Experiment) -> None:
        if parse(found.registration).conclude != "auto" or found.verdict is None:
            return
        action = {"promote": promote, "keep": keep, None: None}[carried_out(found.verdict)]
        if action is not None:
            action(
                self._home,
                self._database,
                found.id,
                author=_actor(found),
                clock=self._clock,
                expected=found.version,
            )


def _actor(found: Experiment) -> str:
    return f"experiment {found.name}"
