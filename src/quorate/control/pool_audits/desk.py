"""The desk of pool audits: takes questions in, runs one at a time in a process of its own; all it knows is stored."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.control.background import Runner, Work
from quorate.control.experiments.hiding import require_shown
from quorate.control.pool_audits import process
from quorate.control.pool_audits.asked import Question
from quorate.control.pool_audits.subject import endpoints_of, subject
from quorate.errors import Conflict, NotFound, NotReady, Overloaded
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.pool_audits import pool_audits
from quorate.store.questions import CANCELLED, DONE, ENDED, FAILED, QUEUED, RUNNING, StoredQuestion

WAITING = 100
"""Audits that may wait."""
KEPT = 200
"""Audits that have ended and are remembered."""


class PoolAuditDesk:
    """Audits of one project; safe for threads. :meth:`start` begins to run what is queued or was interrupted."""

    def __init__(self, home: Home, registry: Registry, database: Database, clock: Clock) -> None:
        self._home, self._registry, self._database, self._clock = home, registry, database, clock
        self._runner = Runner(home, "pool audits", _PoolAudits(home, database, clock))

    def start(self) -> None:
        """Begin to run audits in a thread of its own."""
        self._runner.start()

    def stop(self) -> None:
        """Interrupt what runs; it begins anew at the next start."""
        self._runner.stop()

    def submit(self, question: Question, *, author: str) -> StoredQuestion:
        """Queue an audit; what can be refused without reading the journal is refused now.

        :class:`~quorate.errors.InvalidInput`, :class:`NotFound`, :class:`NotReady`, :class:`Overloaded`;
        :class:`Conflict` while an experiment hides how an endpoint's strategies do.
        """
        if not self._runner.started:
            raise NotReady("This control process runs no audits; `quorate audit-pool` does.")
        question.check()
        routing = snapshot.read_or_empty(self._home.snapshot)
        with self._database.read() as connection:
            for endpoint in endpoints_of(question.name, routing):
                require_shown(connection, endpoint.name)
        subject(question, routing, self._registry)
        made = StoredQuestion(
            id=secrets.token_hex(16),
            endpoint=question.name,
            question=msgspec.to_builtins(question),
            author=author,
            state=QUEUED,
            created=self._clock.now(),
        )
        with self._database.begin() as connection:
            if len(pool_audits.newest(connection, states=(QUEUED,), limit=WAITING)) >= WAITING:
                raise Overloaded(f"{WAITING} audits are waiting already; retry later.", retry_after=60)
            pool_audits.add(connection, made)
            self._note(connection, made, "pool-audit.submit", author, made.created)
        self._runner.wake()
        return made

    def get(self, audit_id: str) -> StoredQuestion:
        """An audit; :class:`NotFound`."""
        with self._database.read() as connection:
            found = pool_audits.one(connection, audit_id)
        if found is None:
            raise NotFound(f"There is no pool audit '{audit_id[:64]}'; /v1/pool-audits lists them.", path="id")
        return found

    def list(self, *, before: str | None = None, limit: int = 100) -> Sequence[StoredQuestion]:
        """The newest audits, newest first; ``before`` the id of one, for the next page."""
        last = None if before is None else self.get(before)
        with self._database.read() as connection:
            return pool_audits.newest(connection, before=None if last is None else (last.created, last.id), limit=limit)

    def cancel(self, audit_id: str, *, author: str) -> StoredQuestion:
        """Stop an audit; :class:`Conflict` where it has ended."""
        now, found = self._clock.now(), self.get(audit_id)
        with self._database.begin() as connection:
            done = pool_audits.update(connection, audit_id, states=(QUEUED, RUNNING), state=CANCELLED, finished=now)
            if done:
                self._note(connection, found, "pool-audit.cancel", author, now)
        if not done:
            raise Conflict(f"Pool audit {audit_id} is {self.get(audit_id).state} already.", path="id")
        return replace(found, state=CANCELLED, finished=now)

    def _note(self, connection: Any, audit: StoredQuestion, action: str, author: str, at: float) -> None:
        detail = {"name": audit.endpoint}
        add_entry(connection, at=at, actor=author, action=action, subject=audit.id, detail=detail)


class _PoolAudits(Work):
    def __init__(self, home: Home, database: Database, clock: Clock) -> None:
        self._home, self._database, self._clock = home, database, clock

    def waiting(self) -> Sequence[StoredQuestion]:
        with self._database.read() as connection:
            return pool_audits.newest(connection, states=(RUNNING, QUEUED), limit=2 * WAITING)

    def begin(self, asked: StoredQuestion) -> bool:
        now = self._clock.now()
        with self._database.begin() as connection:
            return pool_audits.update(connection, asked.id, states=(QUEUED, RUNNING), state=RUNNING, started=now)

    def start(self, asked: StoredQuestion) -> subprocess.Popen[bytes]:
        return process.start(self._home, dict(asked.question))

    def cancelled(self, question_id: str) -> bool:
        with self._database.read() as connection:
            found = pool_audits.one(connection, question_id)
        return found is None or found.state == CANCELLED

    def finish(self, asked: StoredQuestion, answer: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        state, now = FAILED if answer is None else DONE, self._clock.now()
        with self._database.begin() as connection:
            pool_audits.update(
                connection, asked.id, states=(RUNNING,), state=state, finished=now, answer=answer, error=error
            )

    def forget(self) -> None:
        with self._database.read() as connection:
            ended = pool_audits.newest(connection, states=ENDED, limit=KEPT + WAITING)
        if len(ended) > KEPT:
            with self._database.begin() as connection:
                for each in ended[KEPT:]:
                    pool_audits.remove(connection, each.id)
