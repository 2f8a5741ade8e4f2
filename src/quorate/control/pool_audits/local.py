"""An audit in this process, on a project's own files; for the command line and Python."""

from __future__ import annotations

from pathlib import Path

from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.control.experiments.hiding import require_shown
from quorate.control.listening import ingest_now
from quorate.control.pool_audits.asked import Answer, Question
from quorate.control.pool_audits.run import audit_decisions, audit_held
from quorate.control.pool_audits.subject import endpoints_of
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database


def audit_here(home: Home, database: Database, question: Question, rows: Path | None = None) -> Answer:
    """Audit by logged decisions, ingesting what is not yet (where no server does), or by the file ``rows``.

    :class:`~quorate.errors.Conflict` while an experiment hides how an endpoint's strategies do.
    """
    question.check()
    clock = SystemClock()
    registry = Registry(home.registry, clock)
    if rows is not None:
        return audit_held(question, rows, home, registry, clock)
    with database.read() as connection:
        for endpoint in endpoints_of(question.name, snapshot.read(home.snapshot)):
            require_shown(connection, endpoint.name)
    ingest_now(home, database, clock)
    return audit_decisions(question, home, database, registry, clock)
