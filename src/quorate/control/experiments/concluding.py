"""The end of an experiment: stopped, promoted or kept; each is one transaction, so of two at once one wins.

While it runs it can only be stopped. Once there is a verdict it is promoted or kept. A promotion serves the winner
alone, everything else brings back what was served before; both are new revisions.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import EndpointRoute, PolicyRoute
from quorate.control.experiments.publishing import own, publish, require_own, route_of
from quorate.control.experiments.starting import pin_name, required
from quorate.control.journal.pins import unpin
from quorate.control.revisions.publication import changing, repair
from quorate.errors import Conflict
from quorate.home import Home
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.experiments import DECIDED, ENDED, RUNNING, Experiment, change_experiment
from quorate.store.experiments import experiment as stored

BETTER = "better"


def stop(
    home: Home,
    database: Database,
    experiment_id: str,
    *,
    author: str,
    clock: Clock,
    expected: int | None = None,
    verdict: dict[str, Any] | None = None,
) -> Experiment:
    """End a running experiment without a winner, and serve what was served before.

    ``verdict`` says why; by default that somebody stopped it. Where the endpoint serves something else by now, that
    stays. :class:`Conflict` where the experiment does not run.
    """
    return _end(
        home,
        database,
        experiment_id,
        "stop",
        RUNNING,
        verdict=verdict or {"verdict": "stopped"},
        author=author,
        clock=clock,
        expected=expected,
    )


def keep(
    home: Home, database: Database, experiment_id: str, *, author: str, clock: Clock, expected: int | None = None
) -> Experiment:
    """Leave the endpoint as it was before a decided experiment; :class:`Conflict` where it is not decided."""
    return _end(home, database, experiment_id, "keep", DECIDED, author=author, clock=clock, expected=expected)


def promote(
    home: Home, database: Database, experiment_id: str, *, author: str, clock: Clock, expected: int | None = None
) -> Experiment:
    """Serve the winner of a decided experiment alone; :class:`Conflict` where there is none."""
    return _end(home, database, experiment_id, "promote", DECIDED, author=author, clock=clock, expected=expected)


def _end(
    home: Home,
    database: Database,
    experiment_id: str,
    action: str,
    state: str,
    *,
    author: str,
    clock: Clock,
    expected: int | None,
    verdict: dict[str, Any] | None = None,
) -> Experiment:
    with changing(home):
        repair(home, database)
        now = clock.now()
        with database.begin() as connection:
            found = required(connection, experiment_id, expected)
            _allowed(found, action, state)
            if action == "promote":
                require_own(connection, found.endpoint, found.revision)
            routing, number = None, None
            if own(connection, found.endpoint, found.revision):
                route = _next(connection, found, action)
                routing = publish(home, connection, route, author=author, now=now)
                number = next(each.revision for each in routing.endpoints if each.name == found.endpoint)
            conclusion = {"did": action, "author": author, "at": now, "revision": number}
            changes: dict[str, Any] = {"state": ENDED, "conclusion": conclusion, "ended": found.ended or now}
            changes |= {"verdict": verdict} if verdict is not None else {}
            change_experiment(connection, found.id, version=found.version, **changes)
            detail = {"endpoint": found.endpoint, "name": found.name, "revision": number}
            detail |= {"verdict": (verdict or found.verdict or {}).get("verdict")}
            action_name = f"experiment.{action}"
            add_entry(connection, at=now, actor=author, action=action_name, subject=found.id, detail=detail)
            after = stored(connection, found.id)
        if routing is not None:
            snapshot.write(home.snapshot, routing)
        unpin(home, pin_name(found.id))
    return after or found


def _allowed(found: Experiment, action: str, state: str) -> None:
    if found.state == state:
        if action == "promote" and (found.verdict or {}).get("verdict") != BETTER:
            raise Conflict(
                f"Experiment {found.id} has no winner (its verdict is '{(found.verdict or {}).get('verdict')}'); "
                "keep ends it.",
                path="id",
            )
        return
    done = found.conclusion or {}
    how = f": {done['did']} by {done['author']}" if done else ""
    wanted = {RUNNING: "only a running one can be stopped", DECIDED: f"only a decided one can be {_PAST[action]}"}
    raise Conflict(f"Experiment {found.id} is {found.state}{how}; {wanted[state]}.", path="id")


_PAST = {"promote": "promoted", "keep": "kept", "stop": "stopped"}


def _next(connection: sa.Connection, found: Experiment, action: str) -> EndpointRoute:
    """What is served from now on."""
    base = route_of(connection, found.endpoint, found.base_revision or 0)
    if action != "promote":
        return base
    winner = (found.verdict or {})["winner"]
    policy = PolicyRoute(kind="fixed", params={"strategy": winner}, blind=base.policy.blind)
    return msgspec.structs.replace(base, policy=policy)
