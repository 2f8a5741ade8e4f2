"""Warm starts over HTTP: one at a time, beside everything else, and all or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import RewardRoute
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.control.learning.learner import served
from quorate.control.learning.routes import forget
from quorate.control.learning.warm_starts import Stopped, WarmStarts
from quorate.control.listening import ingest_now
from quorate.core.types import Outcome
from quorate.errors import Conflict
from quorate.registry.registry import Registry
from quorate.store.audit import entries
from quorate.testing.clock import FakeClock

from .test_learner import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: Any) -> Any:
    """Two decisions that were learned from, and two of another policy before; see test_learner."""
    project = Project(tmp_path, monkeypatch, new_store)
    first = [project.decision(0.9, 0.2), project.decision(0.4, 0.8, "both")]
    project.serve(RewardRoute("clicks"))
    second = [project.decision(0.4, 0.8, "b"), project.decision(0.9, 0.2, source="caller")]
    project.journal([*first, *second], [Outcome(d.id, 0, "yes", at=1.0, received=1.0) for d in [*first, *second]])
    project.serve(RewardRoute())
    ingest_now(project.home, project.database, FakeClock(now=5000.0))
    yield project
    project.database.close()


@pytest.fixture
def starts(project: Any) -> WarmStarts:
    return WarmStarts(project.home, project.database, lambda digest: b"", FakeClock(now=5000.0))


def learning(project: Any) -> Any:
    found = served(snapshot.read(project.home.snapshot), "e")
    assert found is not None
    return found


def test_one_is_done_by_the_thread_that_ingests_and_told_of(project: Any, starts: WarmStarts) -> None:
    assert starts.newest("e") is None
    asked = starts.ask(learning(project), 0.0, "key 1")
    assert (asked.state, asked.asked, asked.ended) == ("queued", 5000.0, None)
    assert project.sums()[1] == [2.0, 2.0, 2.0]
    rested = []
    starts.work(lambda: rested.append(1))
    done = starts.newest("e")
    assert done is not None
    assert (done.state, done.ended, done.error) == ("done", 5000.0, None)
    assert done.learned == {"learned": 3, "not_drawn": 1}
    assert project.sums() == ([1.0, 2.0, 3.0], [3.0, 3.0, 3.0])
    assert rested
    with project.database.read() as connection:
        entry = entries(connection)[0]
    assert (entry.actor, entry.action, entry.detail["rows"]) == ("key 1", "learner.warm_start", done.learned)
    starts.work()  # nothing waits
    assert starts.newest("e") == done


def test_others_write_to_the_store_meanwhile(project: Any, starts: WarmStarts) -> None:
    """Applies and audit entries do not wait for a warm start: it only reads until its end."""
    from quorate.store.audit import add_entry

    def write() -> None:
        with project.database.begin() as connection:
            add_entry(connection, at=1.0, actor="me", action="other", subject="x", detail={})

    starts.ask(learning(project), 0.0, "key 1")
    starts.work(write)
    assert starts.newest("e").state == "done"  # type: ignore[union-attr]
    with project.database.read() as connection:
        assert {"other", "learner.warm_start"} <= {entry.action for entry in entries(connection)}


def test_one_is_refused_while_another_waits_or_runs(project: Any, starts: WarmStarts) -> None:
    starts.ask(learning(project), 0.0, "key 1")
    with pytest.raises(Conflict, match="A warm start of 'e' is queued already"):
        starts.ask(learning(project), 0.0, "key 2")
    refused = []

    def again() -> None:
        with pytest.raises(Conflict, match="is running already"):
            starts.ask(learning(project), 0.0, "key 2")
        refused.append(1)

    starts.work(again)
    assert refused
    assert starts.ask(learning(project), 0.0, "key 2").author == "key 2"


@pytest.mark.parametrize("change", ["reset", "policy"])
def test_what_was_changed_meanwhile_is_not_overwritten(project: Any, starts: WarmStarts, change: str) -> None:
    mine = learning(project)

    def meanwhile() -> None:
        if change == "reset":
            forget(project.database, mine, "key 2", 1.0)
        else:
            project.serve(params={}, sticky="k", kind="thompson")

    starts.ask(mine, 0.0, "key 1")
    starts.work(meanwhile)
    failed = starts.newest("e")
    assert failed is not None
    assert (failed.state, failed.learned) == ("failed", None)
    assert "was reset, or its policy changed" in (failed.error or "")
    assert starts.ask(learning(project), 0.0, "key 1").state == "queued"


def test_an_end_of_the_process_leaves_what_was_there(project: Any, starts: WarmStarts) -> None:
    def stop() -> None:
        raise Stopped("Control stops.")

    starts.ask(learning(project), 0.0, "key 1")
    before = project.sums()
    starts.work(stop)
    assert starts.newest("e").error == "Control stops."  # type: ignore[union-attr]
    assert project.sums() == before


def test_a_plugin_that_fails_holds_nothing_up(project: Any, starts: WarmStarts) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    starts.ask(learning(project), 0.0, "key 1")
    starts.work(broken)
    assert "a reason that is logged" in (starts.newest("e").error or "")  # type: ignore[union-attr]


def asking(project: Any, starts: WarmStarts | None) -> Any:
    """The control port: ``ask(method, query)`` about the warm start of ``e``."""
    clock = FakeClock(now=5000.0 + 30 * 86400)
    registry, journal = Registry(project.home.registry, clock), JournalReader(project.home.journal)
    services = Services(project.home, registry, project.database, journal, clock, warm_starts=starts)
    app = create_app(services, Access(project.home, project.database, "127.0.0.1"))

    def ask(method: str, query: str = "", name: str = "e") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, f"/v1/endpoints/{name}/learner/warm-start{query}")

        return asyncio.run(send())

    return ask


def test_the_routes(project: Any, starts: WarmStarts) -> None:
    ask = asking(project, starts)
    assert (ask("GET").status_code, ask("POST", name="other").status_code) == (404, 404)
    asked = ask("POST")
    assert (asked.status_code, asked.json()["author"]) == (202, "control port")
    assert (asked.json()["since"], asked.json()["state"]) == (5000.0, "queued")
    refused = ask("POST", "?since=5")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    starts.work()
    assert ask("GET").json()["state"] == "done"
    assert ask("POST", "?since=0").json()["since"] == 0.0
    assert ask("POST", "?since=-1").status_code == 422
    assert asking(project, None)("POST").status_code == 503
