"""Pool audits over HTTP: taken in, run in a process of their own, refused with the reason, cancelled."""

from __future__ import annotations

import asyncio
import subprocess
import sys
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
from quorate.control.pool_audits import desk as desks
from quorate.control.pool_audits.desk import PoolAuditDesk
from quorate.control.questions import queue, running
from quorate.errors import Conflict
from quorate.store.audit import entries
from quorate.store.questions import ENDED

from .conftest import decisions, truths

WITHIN = 240.0  # its process has the lowest priority
PATH = "/v1/pool-audits"


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
        self._app: tuple[PoolAuditDesk, Any] | None = None

    def fresh(self) -> PoolAuditDesk:
        p = self.project
        return PoolAuditDesk(p.home, p.registry, p.database, SystemClock())

    def app(self) -> Any:
        p = self.project
        if self._app is None or self._app[0] is not self.desk:
            journal = JournalReader(p.home.journal)
            services = Services(p.home, p.registry, p.database, journal, p.clock, pool_audits=self.desk)
            self._app = self.desk, create_app(services, Access(p.home, p.database, "127.0.0.1"))
        return self._app[1]

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        app = self.app()
        headers = {"x-api-key": self.key} if self.key else {}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, path, headers={**headers, **options.pop("headers", {})}, **options)

        return asyncio.run(send())

    def ask(self, **question: Any) -> dict[str, Any]:
        answer = self("POST", PATH, json={"name": "main"} | question)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, audit_id: str) -> dict[str, Any]:
        until(lambda: self.desk.get(audit_id).state in ENDED, "the audit has ended")
        found: dict[str, Any] = self("GET", f"{PATH}/{audit_id}").json()
        return found


@pytest.fixture
def port(log: Any) -> Iterator[Port]:
    some, truth = decisions(120)
    log.write(some, truths(some, truth))
    made = Port(log)
    made.desk.start()
    yield made
    made.desk.stop()


def test_an_audit_runs_in_the_background(port: Port) -> None:
    asked = port.ask(margin=0.05, costs={"a": 1.0, "b": 1.0, "c": 4.0})
    assert (asked["state"], asked["author"], asked["answer"]) == ("queued", "control port", None)
    assert asked["question"]["costs"] == {"a": 1.0, "b": 1.0, "c": 4.0}
    refused = port.ask(since=9e10)
    done = port.ended(asked["id"])
    assert done["state"] == "done", done
    assert "c" in done["answer"]["recommended"]["drop"]
    assert done["answer"]["recommended"]["saves"] >= 4.0
    assert done["answer"]["check"]["gain"]["low"] > -0.05
    failed = port.ended(refused["id"])
    assert (failed["state"], failed["error"]["code"], failed["error"]["path"]) == ("failed", "invalid_input", "since")
    assert [each["id"] for each in port("GET", PATH).json()] == [refused["id"], asked["id"]]
    assert [each["id"] for each in port("GET", f"{PATH}?before={refused['id']}").json()] == [asked["id"]]
    assert port("DELETE", f"{PATH}/{asked['id']}").status_code == 409
    with port.project.database.read() as connection:
        actions = [(entry.action, entry.subject, entry.detail) for entry in entries(connection)]
    assert ("pool-audit.submit", asked["id"], {"name": "main"}) in actions


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"name": "nope"}, 404, "name"),
    ({"name": "main", "strategy": "nope"}, 404, "strategy"),
    ({"name": "main", "strategy": "best"}, 422, "strategy"),
    ({"name": "main", "strategy": {"kind": "nope"}}, 422, "strategy.kind"),
    ({"name": "main", "since": 9.0, "until": 8.0}, 422, "until"),
    ({"name": "main", "since": "yesterday"}, 422, "since"),
    ({"name": "main", "metric": "f2"}, 422, "metric"),
    ({"name": "main", "metric": "mae"}, 422, "metric"),
    ({"name": "main", "margin": -1}, 422, "margin"),
    ({"name": "main", "costs": {"z": 1}}, 422, "costs.z"),
    ({"name": "main", "more": 1}, 422, "more"),
    ({}, 422, "name"),
]


def test_what_is_wrong_is_refused_at_once(port: Port) -> None:
    for body, status, path in WRONG:
        answer = port("POST", PATH, json=body)
        assert (answer.status_code, answer.json()["path"]) == (status, path), answer.text


def test_bodies_that_are_none_and_a_desk_that_runs_nothing(port: Port) -> None:
    kind = {"content-type": "application/json"}
    assert port("POST", PATH, content=b"{").status_code == 415
    assert port("POST", PATH, content=b"{", headers=kind).status_code == 400
    assert port("POST", PATH, content=b" " * 70_000, headers=kind).status_code == 413
    assert port("GET", f"{PATH}/{'0' * 32}").status_code == 404
    port.desk = port.fresh()
    answer = port("POST", PATH, json={"name": "main"})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


def test_the_role_operate_is_enough_and_needed(port: Port) -> None:
    p = port.project
    secrets = {
        role: keys.create(p.home, p.database, name=role, roles=[role], author="t", clock=p.clock)[1]
        for role in ("predict", "operate")
    }
    port.key = secrets["predict"]
    assert port("POST", PATH, json={"name": "main"}).status_code == 403
    port.key = secrets["operate"]
    asked = port("POST", PATH, json={"name": "main"})
    assert asked.status_code == 202
    assert asked.json()["author"].startswith("key ")


def test_what_an_experiment_hides_is_refused(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(connection: Any, endpoint: str) -> None:
        raise Conflict(f"Endpoint '{endpoint}' is under experiment 'trial', which hides its arms until the verdict.")

    monkeypatch.setattr(desks, "require_shown", hidden)
    for name in ("main", "letters"):
        answer = port("POST", PATH, json={"name": name})
        assert (answer.status_code, "hides its arms" in answer.text) == (409, True)


SLOW = "import sys, time; sys.stdout.write('started'); sys.stdout.flush(); time.sleep(600)"


def test_cancelling_kills_its_process_and_the_next_runs(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start(_module: str, _home: Any, _question: dict[str, Any]) -> subprocess.Popen[bytes]:
        line = SLOW if not children else "raise SystemExit(3)"
        command = [sys.executable, "-S", "-c", line]
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return children[-1]

    monkeypatch.setattr(running, "spawn", start)
    monkeypatch.setattr(queue, "KEPT", 1)
    first = port.ask()
    until(lambda: len(children) == 1, "it runs")
    cancelled = port("DELETE", f"{PATH}/{first['id']}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    until(lambda: children[0].poll() is not None, "its process has ended")
    second = port.ask()
    failed = port.ended(second["id"])
    assert (failed["state"], failed["error"]["code"]) == ("failed", "internal")
    assert "ended with status 3" in failed["error"]["message"]
    until(lambda: [each.id for each in port.desk.list()] == [second["id"]], "the other one is forgotten")
