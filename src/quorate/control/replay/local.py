"""A replay in this process, on a project's own files; for the command line and Python."""

from __future__ import annotations

from quorate.clock import SystemClock
from quorate.control.listening import ingest_now
from quorate.control.replay.asked import Answer, Question
from quorate.control.replay.run import replay
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database


def replay_here(home: Home, database: Database, question: Question) -> Answer:
    """Ingest what is not yet (where no server does), then replay; raises as :func:`~.run.replay`."""
    question.check()
    clock = SystemClock()
    ingest_now(home, database, clock)
    return replay(question, home, database, Registry(home.registry, clock), clock)
