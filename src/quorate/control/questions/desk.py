"""The desk of questions of one kind: takes them in, has them run one at a time; all it knows is in the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec

from quorate.clock import Clock
from quorate.control.questions.queue import Kind, Queue
from quorate.control.questions.running import Runner
from quorate.errors import NotReady
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.store.questions import StoredQuestion

Question = TypeVar("Question")


class QuestionDesk(ABC, Generic[Question]):
    """Questions of one project; safe for threads. :meth:`start` begins to run what is queued or was interrupted."""

    kind: ClassVar[Kind]

    def __init__(self, home: Home, registry: Registry, database: Database, clock: Clock) -> None:
        self._home, self._registry, self._database = home, registry, database
        self._queue = Queue(self.kind, database, clock)
        self._runner = Runner(home, self._queue)

    @abstractmethod
    def _check(self, question: Question) -> None:
        """Refuse what can be refused without reading the journal.

        :class:`~quorate.errors.InvalidInput`, :class:`~quorate.errors.NotFound`; :class:`~quorate.errors.Conflict`
        while an experiment hides how an endpoint's strategies do.
        """

    def start(self) -> None:
        """Begin to run questions in a thread of its own."""
        self._runner.start()

    def stop(self) -> None:
        """Interrupt what runs; it begins anew at the next start."""
        self._runner.stop()

    def submit(self, question: Question, *, author: str) -> StoredQuestion:
        """Queue a question; :class:`NotReady`, :class:`~quorate.errors.Overloaded`, and what is wrong with it."""
        if not self._runner.started:
            raise NotReady(f"This control process runs no {self.kind.name}s; `quorate {self.kind.command}` does.")
        self._check(question)
        made = self._queue.add(msgspec.to_builtins(question), author)
        self._runner.wake()
        return made

    def get(self, question_id: str) -> StoredQuestion:
        """See :meth:`Queue.get`."""
        return self._queue.get(question_id)

    def list(self, *, before: str | None = None, limit: int = 100) -> Sequence[StoredQuestion]:
        """See :meth:`Queue.list`."""
        return self._queue.list(before=before, limit=limit)

    def cancel(self, question_id: str, *, author: str) -> StoredQuestion:
        """See :meth:`Queue.cancel`."""
        return self._queue.cancel(question_id, author=author)
