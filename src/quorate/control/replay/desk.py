"""The desk of replays: takes questions in, runs one at a time in a process of its own; all it knows is in the store."""

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
from quorate.control.replay import process
from quorate.control.replay.asked import Question
from quorate.control.replay.targets import target
from quorate.errors import Conflict, NotFound, NotReady, Overloaded
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.replays import (
    CANCELLED,
    DONE,
    ENDED,
    FAILED,
    QUEUED,
    RUNNING,
    StoredReplay,
    add_replay,
    remove_replay,
    update_replay,
)
from quorate.store.replays import replay as stored_replay
from quorate.store.replays import replays as stored_replays
from quorate.store.revisions import revisions

WAITING = 100
"""Replays that may wait."""
KEPT = 200
"""Replays that have ended and are remembered."""


class ReplayDesk:
    """Replays of one project; safe for threads. :meth:`start` begins to run what is queued or was interrupted."""

    def __init__(self, home: Home, registry: Registry, database: Database, clock: Clock) -> None:
        self._home, self._registry, self._database, self._clock = home, registry, database, clock
        self._runner = Runner(home, "replays", _Replays(home, database, clock))

    # --- asked by handlers ---

    def submit(self, question: Question, *, author: str) -> StoredReplay:
        """Queue a replay; what can be refused without reading the journal is refused now.

        :class:`~quorate.errors.InvalidInput`, :class:`NotFound`, :class:`NotReady`, :class:`Overloaded`;
        :class:`Conflict` while an experiment hides how the endpoint's strategies do.
        """
        if not self._runner.started:
            raise NotReady("This control process runs no replays; `quorate replay` does.")
        question.check()
        self._resolve(question)
        with self._database.read() as connection:
            require_shown(connection, question.endpoint)
        made = StoredReplay(
            id=secrets.token_hex(16),
            endpoint=question.endpoint,
            question=msgspec.to_builtins(question),
            author=author,
            state=QUEUED,
            created=self._clock.now(),
        )
        with self._database.begin() as connection:
            if len(stored_replays(connection, states=(QUEUED,), limit=WAITING)) >= WAITING:
                raise Overloaded(f"{WAITING} replays are waiting already; retry later.", retry_after=60)
            add_replay(connection, made)
            detail = {"endpoint": made.endpoint}
            add_entry(connection, at=made.created, actor=author, action="replay.submit", subject=made.id, detail=detail)
        self._runner.wake()
        return made

    def get(self, replay_id: str) -> StoredReplay:
        """A replay; :class:`NotFound`."""
        with self._database.read() as connection:
            found = stored_replay(connection, replay_id)
        if found is None:
            raise NotFound(f"There is no replay '{replay_id[:64]}'; /v1/replays lists them.", path="id")
        return found

    def list(self, *, before: str | None = None, limit: int = 100) -> Sequence[StoredReplay]:
        """The newest replays, newest first; ``before`` the id of one, for the next page."""
        last = None if before is None else self.get(before)
        with self._database.read() as connection:
            return stored_replays(connection, before=None if last is None else (last.created, last.id), limit=limit)

    def cancel(self, replay_id: str, *, author: str) -> StoredReplay:
        """Stop a replay; :class:`Conflict` where it has ended."""
        now, found = self._clock.now(), self.get(replay_id)
        with self._database.begin() as connection:
            done = update_replay(connection, replay_id, states=(QUEUED, RUNNING), state=CANCELLED, finished=now)
            if done:
                add_entry(connection, at=now, actor=author, action="replay.cancel", subject=replay_id, detail={})
        if not done:
            raise Conflict(f"Replay {replay_id} is {self.get(replay_id).state} already.", path="id")
        return replace(found, state=CANCELLED, finished=now)

    def _resolve(self, question: Question) -> None:
        routing = snapshot.read_or_empty(self._home.snapshot)
        with self._database.read() as connection:
            past = [msgspec.json.decode(each.content) for each in revisions(connection, question.endpoint)]
        logged = {each["name"] for content in past for each in content["endpoint"]["strategies"]}
        target(question, routing, self._registry, sorted(logged))

    # --- running ---

    def start(self) -> None:
        """Begin to run replays in a thread of its own."""
        self._runner.start()

    def stop(self) -> None:
        """Interrupt what runs; it begins anew at the next start."""
        self._runner.stop()


class _Replays(Work):
    def __init__(self, home: Home, database: Database, clock: Clock) -> None:
        self._home, self._database, self._clock = home, database, clock

    def waiting(self) -> Sequence[StoredReplay]:
        with self._database.read() as connection:
            return stored_replays(connection, states=(RUNNING, QUEUED), limit=2 * WAITING)

    def begin(self, asked: StoredReplay) -> bool:
        now = self._clock.now()
        with self._database.begin() as connection:
            return update_replay(connection, asked.id, states=(QUEUED, RUNNING), state=RUNNING, started=now)

    def start(self, asked: StoredReplay) -> subprocess.Popen[bytes]:
        return process.start(self._home, dict(asked.question))

    def cancelled(self, question_id: str) -> bool:
        with self._database.read() as connection:
            found = stored_replay(connection, question_id)
        return found is None or found.state == CANCELLED

    def finish(self, asked: StoredReplay, answer: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        with self._database.begin() as connection:
            update_replay(
                connection,
                asked.id,
                states=(RUNNING,),
                state=FAILED if answer is None else DONE,
                finished=self._clock.now(),
                answer=answer,
                error=error,
            )

    def forget(self) -> None:
        with self._database.read() as connection:
            ended = stored_replays(connection, states=ENDED, limit=KEPT + WAITING)
        if len(ended) > KEPT:
            with self._database.begin() as connection:
                for each in ended[KEPT:]:
                    remove_replay(connection, each.id)
