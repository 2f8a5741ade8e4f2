"""The queue of questions of one kind, in the store: what waits, what runs, and what came of it.

A question is ``queued``, then ``running``, then ``done`` or ``failed``; until it has ended it can be ``cancelled``. One
that is ``running`` when control starts was interrupted, and begins anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from quorate.clock import Clock
from quorate.errors import Conflict, NotFound, Overloaded
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.questions import CANCELLED, DONE, ENDED, FAILED, QUEUED, RUNNING, Questions, StoredQuestion

WAITING = 100
"""Questions of a kind that may wait."""
KEPT = 200
"""Questions of a kind that have ended and are remembered."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question, called ``name`` by people; its field ``about`` names the endpoint (or pool) that it is about.

    ``module`` is the process that answers (:mod:`quorate.control.questions.running`), ``command`` the command that
    does so without a server.
    """

    name: str
    about: str
    questions: Questions
    module: str
    command: str

    @property
    def slug(self) -> str:
        """As in paths and audit actions: ``pool-audit``."""
        return self.name.replace(" ", "-")


class Queue:
    """The questions of a kind of one project; safe for threads."""

    def __init__(self, kind: Kind, database: Database, clock: Clock) -> None:
        self.kind = kind
        self._questions, self._database, self._clock = kind.questions, database, clock

    # --- asked by handlers ---

    def add(self, question: Mapping[str, Any], author: str) -> StoredQuestion:
        """Queue one; :class:`Overloaded` where too many wait."""
        made = StoredQuestion(
            id=secrets.token_hex(16),
            endpoint=question[self.kind.about],
            question=question,
            author=author,
            state=QUEUED,
            created=self._clock.now(),
        )
        with self._database.begin() as connection:
            if len(self._questions.newest(connection, states=(QUEUED,), limit=WAITING)) >= WAITING:
                raise Overloaded(f"{WAITING} {self.kind.name}s are waiting already; retry later.", retry_after=60)
            self._questions.add(connection, made)
            self._note(connection, made, "submit", author, made.created)
        return made

    def get(self, question_id: str) -> StoredQuestion:
        """One; :class:`NotFound`."""
        with self._database.read() as connection:
            found = self._questions.one(connection, question_id)
        if found is None:
            raise NotFound(
                f"There is no {self.kind.name} '{question_id[:64]}'; /v1/{self.kind.slug}s lists them.", path="id"
            )
        return found

    def list(self, *, before: str | None = None, limit: int = 100) -> Sequence[StoredQuestion]:
        """The newest, newest first; ``before`` the id of one, for the next page."""
        last = None if before is None else self.get(before)
        with self._database.read() as connection:
            return self._questions.newest(
                connection, before=None if last is None else (last.created, last.id), limit=limit
            )

    def cancel(self, question_id: str, *, author: str) -> StoredQuestion:
        """Stop one; :class:`Conflict` where it has ended."""
        now, found = self._clock.now(), self.get(question_id)
        with self._database.begin() as connection:
            done = self._questions.update(
                connection, question_id, states=(QUEUED, RUNNING), state=CANCELLED, finished=now
            )
            if done:
                self._note(connection, found, "cancel", author, now)
        if not done:
            raise Conflict(
                f"{self.kind.name.capitalize()} {question_id} is {self.get(question_id).state} already.", path="id"
            )
        return replace(found, state=CANCELLED, finished=now)

    def _note(self, connection: sa.Connection, asked: StoredQuestion, what: str, author: str, at: float) -> None:
        action, detail = f"{self.kind.slug}.{what}", {self.kind.about: asked.endpoint}
        add_entry(connection, at=at, actor=author, action=action, subject=asked.id, detail=detail)

    # --- asked by who runs them ---

    def next(self) -> StoredQuestion | None:
        """What was interrupted, then what waits, the oldest first."""
        with self._database.read() as connection:
            waiting = self._questions.newest(connection, states=(RUNNING, QUEUED), limit=2 * WAITING)
        return min(waiting, key=lambda each: (each.state != RUNNING, each.created, each.id), default=None)

    def begin(self, asked: StoredQuestion) -> bool:
        """Note that it runs now; False where it does not wait any more."""
        now = self._clock.now()
        with self._database.begin() as connection:
            return self._questions.update(connection, asked.id, states=(QUEUED, RUNNING), state=RUNNING, started=now)

    def cancelled(self, question_id: str) -> bool:
        """Whether it is to stop."""
        with self._database.read() as connection:
            found = self._questions.one(connection, question_id)
        return found is None or found.state == CANCELLED

    def finish(self, asked: StoredQuestion, answer: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        """Note what came of it: an answer, or else an error."""
        state, now = FAILED if answer is None else DONE, self._clock.now()
        with self._database.begin() as connection:
            self._questions.update(
                connection, asked.id, states=(RUNNING,), state=state, finished=now, answer=answer, error=error
            )

    def forget(self) -> None:
        """Forget those that ended before the newest :data:`KEPT`."""
        with self._database.read() as connection:
            ended = self._questions.newest(connection, states=ENDED, limit=KEPT + WAITING)
        if len(ended) > KEPT:
            with self._database.begin() as connection:
                for each in ended[KEPT:]:
                    self._questions.remove(connection, each.id)
