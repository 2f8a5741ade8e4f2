"""Who listens to ingest, and ingesting where no server does."""

from __future__ import annotations

from quorate.clock import Clock
from quorate.codecs.lookup import JournalReader
from quorate.control.coverage.measuring import CoverageListener
from quorate.control.experiments.gathering import Gathering
from quorate.control.journal.ingest import INDEXES, Ingest, ingest_lock
from quorate.control.learning.learner import Learner
from quorate.control.outcomes.joined import Listener, Several
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database


def listeners(home: Home, database: Database, registry: Registry, clock: Clock) -> Listener:
    """All of a project's: policies that learn, coverage, and experiments."""
    read = registry.blobs.read
    return Several(Learner(home, database, read, clock), CoverageListener(read), Gathering(database))


def catch_up(home: Home, database: Database, clock: Clock) -> None:
    """Ingest what is in the journals now, with all listeners; hold the ingest lock."""
    listener = listeners(home, database, Registry(home.registry, clock), clock)
    Ingest(JournalReader(home.journal, cached=INDEXES), database, listener=listener).catch_up()
    listener.publish()


def ingest_now(home: Home, database: Database, clock: Clock) -> bool:
    """The same; False where another process does that, as the control process of a server."""
    with ingest_lock(home) as mine:
        if mine:
            catch_up(home, database, clock)
    return mine
