"""What an experiment holds: its endpoint, which nothing else may change while it runs or waits for its conclusion.

Applying a file that says of the endpoint what it said before the experiment leaves the experiment in place. One that
says anything else is refused; at the start of a server, where nobody can be asked, the file counts and the experiment
ends as interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from quorate.control.revisions.publication import content, routes_of
from quorate.errors import Conflict
from quorate.store.audit import add_entry
from quorate.store.experiments import ACTIVE, ENDED, Experiment, change_experiment, experiments
from quorate.store.revisions import revision


def held(connection: sa.Connection) -> dict[str, Experiment]:
    """The experiments that hold an endpoint, by its name."""
    return {found.endpoint: found for found in experiments(connection, states=ACTIVE)}


def base_content(connection: sa.Connection, experiment: Experiment) -> str:
    """What the endpoint was before the experiment, as ``publication.content`` writes it today."""
    return content(*routes_of(revision(connection, experiment.endpoint, experiment.base_revision or 0)))


def stays(
    connection: sa.Connection, experiment: Experiment, text: str | None, *, interrupt: bool, author: str, now: float
) -> bool:
    """Whether an experiment stays in place when its endpoint is to be ``text`` (None: removed).

    Where it cannot, :class:`Conflict`; or with ``interrupt`` it ends, and False.
    """
    if text is not None and text == base_content(connection, experiment):
        return True
    if not interrupt:
        raise Conflict(
            f"Endpoint '{experiment.endpoint}' is under experiment '{experiment.name}' ({experiment.id}), which is "
            f"{experiment.state}, and cannot be changed; stop it first: `quorate experiments stop {experiment.id}`, "
            "or conclude it with promote or keep.",
            path=f"endpoints.{experiment.endpoint}",
        )
    verdict: Mapping[str, object] = experiment.verdict or {"verdict": "interrupted"}
    change_experiment(
        connection,
        experiment.id,
        version=experiment.version,
        state=ENDED,
        ended=experiment.ended or now,
        verdict=verdict,
        conclusion={"did": "interrupted", "author": author, "at": now},
    )
    add_entry(
        connection,
        at=now,
        actor=author,
        action="experiment.interrupt",
        subject=experiment.id,
        detail={"endpoint": experiment.endpoint, "name": experiment.name},
    )
    return False
