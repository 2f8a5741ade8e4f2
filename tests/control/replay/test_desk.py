"""Replays over HTTP: taken in, run in a process of their own, refused with the reason, cancelled, interrupted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from quorate.clock import SystemClock
from quorate.codecs.lookup import JournalReader
from quorate.control import keys
from quorate.control.access import Access
from quorate.control.api import Services, create_app
from quorate.control.questions import queue, running
from quorate.control.replay.desk import ReplayDesk
from quorate.store.audit import entries
from quorate.store.questions import ENDED

from .conftest import decided, drawn, rewarded, told

WITHIN = 240.0  # its process has the lowest priority


def until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline, f"Not within {WITHIN:g} s: {what}"
        time.sleep(0.01)


class Port:
    """The control port's application; its desk runs once it is started."""

    def __init__(self, log: Any) -> None:
        self.project = log.project
        self.desk = self.fresh()
        self.key: str | None = None

    def fresh(self) -> ReplayDesk:
        p = self.project
        return ReplayDesk(p.home, p.registry, p.database, SystemClock())

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        p = self.project
        services = Services(p.home, p.registry, p.database, JournalReader(p.home.journal), p.clock, replays=self.desk)
        app = create_app(services, Access(p.home, p.database, "127.0.0.1"))
        headers = {"x-api-key": self.key} if self.key else {}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(send())

    def ask(self, **question: Any) -> dict[str, Any]:
        answer = self("POST", "/v1/replays", json={"endpoint": "main"} | question)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, replay_id: str) -> dict[str, Any]:
        until(lambda: self.desk.get(replay_id).state in ENDED, "the replay has ended")
        found: dict[str, Any] = self("GET", f"/v1/replays/{replay_id}").json()
        return found


@pytest.fixture
def port(log: Any) -> Iterator[Port]:
    some = [decided(i, drawn(30)[i]) for i in range(30)]
    log.write(some, [told(d, "yes") for d in some] + [rewarded(d, {"clicks": 1.0}) for d in some])
    made = Port(log)
    made.desk.start()
    yield made
    made.desk.stop()


def test_a_replay_runs_in_the_background(port: Port) -> None:
    asked = port.ask(strategy={"kind": "vote", "voting": "hard"})
    assert (asked["state"], asked["author"], asked["answer"]) == ("queued", "control port", None)
    assert asked["question"]["strategy"] == {"kind": "vote", "voting": "hard"}
    refused = port.ask(strategy="best", metric="views")
    done = port.ended(asked["id"])
    assert done["state"] == "done", done
    assert done["answer"]["method"] == "exact"
    assert (done["answer"]["counts"]["used"], done["answer"]["live"]["value"]) == (30, done["answer"]["live"]["value"])
    assert 0 <= done["answer"]["candidate"]["low"] <= done["answer"]["candidate"]["value"] <= 1
    failed = port.ended(refused["id"])
    assert (failed["state"], failed["error"]["code"], failed["error"]["path"]) == ("failed", "invalid_input", "since")
    assert "can be used for 'views'" in failed["error"]["message"]
    listed = port("GET", "/v1/replays").json()
    assert [each["id"] for each in listed] == [refused["id"], asked["id"]]
    assert [each["id"] for each in port("GET", f"/v1/replays?before={refused['id']}").json()] == [asked["id"]]
    with port.project.database.read() as connection:
        actions = [(entry.action, entry.subject) for entry in entries(connection)]
    assert ("replay.submit", asked["id"]) in actions


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"endpoint": "nope", "strategy": "best"}, 404, "endpoint"),
        ({"endpoint": "main", "strategy": "nope"}, 404, "strategy"),
        ({"endpoint": "main"}, 422, "strategy"),
        ({"endpoint": "main", "strategy": {"kind": "nope"}}, 422, "strategy.kind"),
        ({"endpoint": "main", "strategy": "best", "since": 9.0, "until": 8.0}, 422, "until"),
        ({"endpoint": "main", "strategy": "best", "since": "yesterday"}, 422, "since"),
        ({"endpoint": "main", "strategy": "best", "more": 1}, 422, "more"),
        ({"endpoint": "main", "strategy": "best", "method": "guess"}, 422, "method"),
    ],
)
def test_what_is_wrong_is_refused_at_once(port: Port, body: dict[str, Any], status: int, path: str) -> None:
    answer = port("POST", "/v1/replays", json=body)
    assert (answer.status_code, answer.json()["path"]) == (status, path), answer.text


def test_bodies_that_are_none(port: Port) -> None:
    assert port("POST", "/v1/replays", content=b"{").status_code == 415
    headers = {"content-type": "application/json"}
    port.key = None
    p = port.project
    services = Services(p.home, p.registry, p.database, JournalReader(p.home.journal), p.clock, replays=port.desk)
    app = create_app(services, Access(p.home, p.database, "127.0.0.1"))

    async def send(content: bytes) -> int:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
            return (await client.post("/v1/replays", content=content, headers=headers)).status_code

    assert asyncio.run(send(b"{")) == 400
    assert asyncio.run(send(b" " * 70_000)) == 413
    assert port("GET", f"/v1/replays/{'0' * 32}").status_code == 404
    port.desk = port.fresh()  # one that runs nothing
    answer = port("POST", "/v1/replays", json={"endpoint": "main", "strategy": "best"})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


def test_the_role_operate_is_enough_and_needed(port: Port) -> None:
    p = port.project
    secrets = {
        role: keys.create(p.home, p.database, name=role, roles=[role], author="t", clock=p.clock)[1]
        for role in ("predict", "operate")
    }
    body = {"endpoint": "main", "strategy": "best"}
    port.key = secrets["predict"]
    assert port("POST", "/v1/replays", json=body).status_code == 403
    port.key = secrets["operate"]
    asked = port("POST", "/v1/replays", json=body)
    assert asked.status_code == 202
    assert asked.json()["author"].startswith("key ")


SLOW = "import sys, time; sys.stdout.write('started'); sys.stdout.flush(); time.sleep(600)"


def test_cancelling_and_stopping(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed at once; a replay that was interrupted begins anew at the next start."""
    children: list[subprocess.Popen[bytes]] = []
    slow = threading.Event()
    slow.set()
    plain = running.spawn

    def start(module: str, home: Any, question: dict[str, Any]) -> subprocess.Popen[bytes]:
        made = (
            subprocess.Popen([sys.executable, "-c", SLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if slow.is_set()
            else plain(module, home, question)
        )
        children.append(made)
        return made

    monkeypatch.setattr(running, "spawn", start)
    first = port.ask(strategy="best")
    until(lambda: len(children) == 1, "it runs")
    cancelled = port("DELETE", f"/v1/replays/{first['id']}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    until(lambda: children[0].poll() is not None, "its process has ended")
    assert port("DELETE", f"/v1/replays/{first['id']}").status_code == 409
    second = port.ask(strategy="best")
    until(lambda: len(children) == 2, "the next runs")
    port.desk.stop()
    assert children[1].poll() is not None
    assert port.desk.get(second["id"]).state == "running"
    slow.clear()
    port.desk = port.fresh()
    port.desk.start()
    assert port.ended(second["id"])["state"] == "done"


def dying(_module: str, _home: Any, _question: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-S", "-c", "raise SystemExit(3)"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_process_that_dies_is_told(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "spawn", dying)
    failed = port.ended(port.ask(strategy="best")["id"])
    assert (failed["state"], failed["error"]["code"]) == ("failed", "internal")
    assert "ended with status 3" in failed["error"]["message"]


def test_only_so_many_are_remembered(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "KEPT", 1)
    monkeypatch.setattr(running, "spawn", dying)
    asked = [port.ask(strategy="best")["id"] for _ in range(3)]
    until(
        lambda: [(each.id, each.state) for each in port.desk.list()] == [(asked[2], "failed")], "others are forgotten"
    )
