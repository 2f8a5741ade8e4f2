"""The queue of questions: each has one state, the oldest is next, and what ended is remembered for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.control.pool_audits.desk import PoolAuditDesk
from quorate.control.questions import queue as module
from quorate.control.questions.queue import Queue
from quorate.control.replay.desk import ReplayDesk
from quorate.errors import Conflict, NotFound, Overloaded
from quorate.store.audit import entries
from quorate.store.database import Database
from quorate.testing.clock import FakeClock


class Case:
    """A queue of one kind, in a store of its own."""

    def __init__(self, kind: Any, database: Database) -> None:
        self.kind, self.database, self.clock = kind, database, FakeClock(now=1000.0)
        self.queue = Queue(kind, database, self.clock)

    def ask(self, about: str = "e") -> str:
        self.clock.advance(1.0)
        return self.queue.add({self.kind.about: about, "since": 3.0}, "me").id

    def run(self, question_id: str, answer: dict[str, Any] | None, error: dict[str, Any] | None = None) -> None:
        asked = self.queue.get(question_id)
        assert self.queue.begin(asked)
        self.clock.advance(1.0)
        self.queue.finish(asked, answer, error)

    def ids(self, **asked: Any) -> list[str]:
        return [each.id for each in self.queue.list(**asked)]


@pytest.fixture(params=[ReplayDesk.kind, PoolAuditDesk.kind], ids=lambda kind: kind.slug)
def case(request: Any, tmp_path: Path, new_store: Callable[[str], Database]) -> Iterator[Case]:
    database = new_store(f"sqlite:///{tmp_path / 'run' / 'store.db'}")
    yield Case(request.param, database)
    database.close()


def test_a_question_is_queued_runs_and_is_done_or_failed(case: Case) -> None:
    one, other = case.ask(), case.ask("f")
    found = case.queue.get(one)
    assert (found.state, found.endpoint, found.author, found.created) == ("queued", "e", "me", 1001.0)
    assert found.question == {case.kind.about: "e", "since": 3.0}
    case.run(one, {"n": 1})
    case.run(other, None, {"code": "internal"})
    done, failed = case.queue.get(one), case.queue.get(other)
    assert (done.state, done.answer, done.error, done.started, done.finished) == (
        "done",
        {"n": 1},
        None,
        1002.0,
        1003.0,
    )
    assert (failed.state, failed.answer, failed.error) == ("failed", None, {"code": "internal"})
    assert case.queue.next() is None
    assert not case.queue.begin(done)
    for each in (one, other):
        with pytest.raises(Conflict, match="already"):
            case.queue.cancel(each, author="me")


def test_what_was_interrupted_is_next_then_the_oldest(case: Case) -> None:
    first, second, third = case.ask(), case.ask(), case.ask()
    assert (found := case.queue.next()) is not None
    assert found.id == first
    assert case.queue.begin(case.queue.get(second))  # and its process ended with this one
    assert [case.queue.next().id for _ in range(2)] == [second, second]  # type: ignore[union-attr]
    case.run(second, {})
    case.run(first, {})
    assert case.queue.next().id == third  # type: ignore[union-attr]
    assert case.ids() == [third, second, first]
    assert case.ids(limit=1, before=third) == [second]


def test_what_waits_or_runs_can_be_cancelled_and_stays_so(case: Case) -> None:
    waiting, running = case.ask(), case.ask()
    asked = case.queue.get(running)
    assert case.queue.begin(asked)
    assert not case.queue.cancelled(running)
    for each in (waiting, running):
        assert case.queue.cancel(each, author="you").state == "cancelled"
        assert case.queue.cancelled(each)
    case.queue.finish(asked, {"late": True}, None)
    found = case.queue.get(running)
    assert (found.state, found.answer) == ("cancelled", None)
    assert case.queue.next() is None
    with case.database.read() as connection:
        trail = [(e.action, e.actor, e.subject, e.detail) for e in entries(connection)]
    about = {case.kind.about: "e"}
    assert (f"{case.kind.slug}.submit", "me", waiting, about) in trail
    assert (f"{case.kind.slug}.cancel", "you", running, about) in trail


def test_only_so_many_may_wait_and_are_remembered(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 2)
    monkeypatch.setattr(module, "KEPT", 1)
    one, other = case.ask(), case.ask()
    with pytest.raises(Overloaded, match=f"2 {case.kind.name}s are waiting"):
        case.ask()
    case.run(one, {})
    case.run(other, {})
    newest = case.ask()
    case.queue.forget()
    assert case.ids() == [newest, other]
    with pytest.raises(NotFound, match=f"no {case.kind.name} '{one}'; /v1/{case.kind.slug}s lists them"):
        case.queue.get(one)
    assert case.queue.cancelled(one)  # who is not there any more is not waited for
