"""Switches over HTTP: the same as the functions say, with roles and problems."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from quorate.control import keys
from quorate.control.access import Access
from quorate.control.api import Services, create_app

from .conftest import CONFIG, PRICES


class Port:
    """Sends requests to the control port's application."""

    def __init__(self, history: Any) -> None:
        project = history.project
        services = Services(project.home, project.registry, project.database, history.reader, project.clock)
        self.app = create_app(services, Access(project.home, project.database, "127.0.0.1"))

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
                return await client.request(method, f"/v1/endpoints/{path}", **options)

        return asyncio.run(send())


def test_switches_are_planned_listed_and_shown(switched: Any) -> None:
    port = Port(switched)
    planned = port("POST", "main/switches/plan", json={"to": "average"})
    assert planned.status_code == 200, planned.text
    assert planned.json()["shares_after"] == {"average": 1.0}
    assert planned.json()["author"] == "control port"
    whole = port("POST", "main/switches/plan", json={"config": CONFIG.format(policy="average", more=PRICES)})
    assert whole.json()["quantities"] == planned.json()["quantities"]
    [listed] = port("GET", "main/switches").json()
    assert (listed["number"], listed["cause"], listed["planned"]) == (1, "revision", False)
    shown = port("GET", "main/switches/1").json()
    assert shown["before"]["requests"] == 6000
    money = next(each for each in shown["quantities"] if each["name"] == "money_per_million_requests")
    assert money["unit"] == "EUR"
    switched.apply("average", PRICES)
    assert [each["planned"] for each in port("GET", "main/switches").json()] == [True, False]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "field"),
    [
        ("GET", "nothing/switches", {}, 404, "name"),
        ("GET", "main/switches/9", {}, 404, "number"),
        ("GET", "main/switches/0", {}, 422, "number"),
        ("GET", "main/switches/plan", {}, 405, "method"),
        ("POST", "nothing/switches/plan", {"json": {"to": "best"}}, 404, "name"),
        ("POST", "main/switches/plan", {"json": {"to": "nothing"}}, 404, "to"),
        ("POST", "main/switches/plan", {"json": {"to": "best"}}, 409, "to"),
        ("POST", "main/switches/plan", {"json": {}}, 422, "to"),
        ("POST", "main/switches/plan", {"json": {"to": 5}}, 422, "to"),
        ("POST", "main/switches/plan", {"json": {"other": "x"}}, 422, "other"),
        ("POST", "main/switches/plan", {"json": {"config": "pools: 5"}}, 422, None),
        ("POST", "main/switches/plan", {"json": {"config": "x" * 2_500_000}}, 413, None),
        ("POST", "main/switches/plan", {"content": b"to: best"}, 415, "Content-Type"),
        ("POST", "main/switches/plan", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "body"),
    ],
)
def test_mistakes_are_problems(
    switched: Any, method: str, path: str, options: dict[str, Any], status: int, field: str | None
) -> None:
    answer = Port(switched)(method, path, **options)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["path"] == field


def test_roles(switched: Any) -> None:
    port, project = Port(switched), switched.project

    def key(role: str) -> dict[str, str]:
        _, secret = keys.create(
            project.home, project.database, name=role, roles=[role], author="tester", clock=project.clock
        )
        return {"x-api-key": secret}

    operate, predict = key("operate"), key("predict")
    for method, path in (("GET", "main/switches"), ("GET", "main/switches/1"), ("POST", "main/switches/plan")):
        body = {"json": {"to": "average"}} if method == "POST" else {}
        assert port(method, path, headers=operate, **body).status_code == 200
        assert port(method, path, headers=predict, **body).status_code == 403
    planned = port("POST", "main/switches/plan", headers=operate, json={"to": "average"}).json()
    assert planned["author"].startswith("key ")
