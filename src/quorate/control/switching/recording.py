"""Recording a policy's own switches while they can be seen: its state says only which was the last one."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.clock import Clock
from quorate.codecs import learned
from quorate.control.switching.marks import record
from quorate.errors import QuorateError
from quorate.store import learners
from quorate.store.database import Database

EVERY_S = 5.0


class Recorder:
    """Looks every few seconds at the states that have changed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._looked: float | None = None
        self._versions: Mapping[str, int] = {}
        self._counts: dict[str, object] = {}

    def look(self) -> None:
        """Record the switches of policies whose state says that there are more than at the last time."""
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked < EVERY_S:
            return
        self._looked = now
        with self._database.read() as connection:
            versions = learners.versions(connection)
            changed = [name for name, version in versions.items() if self._versions.get(name) != version]
            states = {name: learners.learner(connection, name) for name in changed}
        for name, stored in states.items():
            try:
                count = None if stored is None else learned.unpack(stored.state).state.meta.get("switches")
            except QuorateError:
                continue  # of another release; its learner says so
            if count and self._counts.get(name) != (stored and stored.key, count):
                record(self._database, name)
            self._counts[name] = (stored and stored.key, count)
        self._versions = versions
