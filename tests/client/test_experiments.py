"""Experiments from the client's side: what both clients send, and what they make of replies."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from quorate.api import Server
from quorate.client import AsyncExperiments, Experiments, RequestRefused
from quorate.errors import InvalidInput

SHOWN: dict[str, Any] = {
    "id": "0123456789abcdef", "name": "trial", "endpoint": "e", "state": "running", "version": 2, "author": "key k",
    "created": 1.0, "started": 2.0, "ended": None, "base_revision": 1, "revision": 2, "registration": {"name": "trial"},
    "verdict": None, "conclusion": None, "latest": None,
}  # fmt: skip
PROBLEM = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "It runs.", "code": "conflict"}


class Site:
    """Answers as the control port does; ``asked`` is what came."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.decided_at = 3

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if path.endswith("/promote"):
            return httpx.Response(409, json=PROBLEM, headers={"content-type": "application/problem+json"})
        if path.endswith("/report"):
            if request.headers["accept"] == "application/json":
                return httpx.Response(200, json={"verdict": None})
            return httpx.Response(200, text=f"<!doctype html>{request.url.params['for']}")
        if path.endswith(("/plan", "/selftest")):
            return httpx.Response(200, json={"asked": dict(request.url.params)})
        if path.endswith("/looks"):
            return httpx.Response(200, json=[{"number": 1}])
        if request.method == "GET" and path == "/v1/experiments":
            return httpx.Response(200, json=[SHOWN])
        done = request.method == "GET" and len(self.asked) >= self.decided_at
        verdict = {"verdict": {"verdict": "worse"}} if done else {}
        return httpx.Response(201 if path == "/v1/experiments" else 200, json=SHOWN | verdict)


class Sync:
    """The client as it is."""

    def __init__(self, site: Site) -> None:
        self.client = Experiments(
            "http://127.0.0.1:8001", "qk_x", transport=httpx.MockTransport(site), sleep=lambda _: None
        )

    def __call__(self, name: str, *arguments: Any, **more: Any) -> Any:
        return getattr(self.client, name)(*arguments, **more)


class Async:
    """The client for asyncio, each call in a loop of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, name: str, *arguments: Any, **more: Any) -> Any:
        async def rest(_: float) -> None:
            pass

        async def call() -> Any:
            transport = httpx.MockTransport(self.site)
            async with AsyncExperiments("http://127.0.0.1:8001", "qk_x", transport=transport, sleep=rest) as client:
                return await getattr(client, name)(*arguments, **more)

        return asyncio.run(call())


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture(params=[Sync, Async])
def call(request: Any, site: Site) -> Any:
    return request.param(site)


def test_changes_are_asked_once_and_may_depend_on_the_version(site: Site, call: Any) -> None:
    id_ = SHOWN["id"]
    assert call("register", {"name": "trial"}).id == id_
    call("revise", id_, {"name": "trial"}, version=1)
    for action in ("start", "stop", "keep"):
        assert call(action, id_, version=2).state == "running"
    call("withdraw", id_)
    told = [(r.method, r.url.path.removeprefix("/v1/experiments"), r.headers.get("if-match")) for r in site.asked]
    assert told == [
        ("POST", "", None),
        ("PUT", f"/{id_}", '"1"'),
        ("POST", f"/{id_}/start", '"2"'),
        ("POST", f"/{id_}/stop", '"2"'),
        ("POST", f"/{id_}/keep", '"2"'),
        ("DELETE", f"/{id_}", None),
    ]
    assert json.loads(site.asked[0].content) == {"name": "trial"}
    assert {r.headers["authorization"] for r in site.asked} == {"Bearer qk_x"}


def test_refusals_are_errors(site: Site, call: Any) -> None:
    with pytest.raises(RequestRefused, match="It runs") as refused:
        call("promote", SHOWN["id"])
    assert refused.value.code == "conflict"
    assert len(site.asked) == 1


def test_waiting_ends_with_the_verdict(site: Site, call: Any) -> None:
    found = call("wait", SHOWN["id"])
    assert found.decided
    assert found.verdict == {"verdict": "worse"}
    assert len(site.asked) == 3


def test_looking(site: Site, call: Any) -> None:
    site.decided_at = 1000
    assert [found.name for found in call("list", endpoint="e", limit=5)] == ["trial"]
    assert dict(site.asked[-1].url.params) == {"limit": "5", "endpoint": "e"}
    assert call("get", SHOWN["id"]).revision == 2
    assert call("looks", SHOWN["id"]) == ({"number": 1},)
    assert call("report", SHOWN["id"], "statistician") == "<!doctype html>statistician"
    assert call("report_data", SHOWN["id"]) == {"verdict": None}
    with pytest.raises(InvalidInput, match="manager or a statistician"):
        call("report", SHOWN["id"], "nobody")


def test_plans_and_self_tests(site: Site, call: Any) -> None:
    assert call("plan", {}, presence=0.5)["asked"] == {"presence": "0.5"}
    assert call("self_test", {}, runs=3)["asked"] == {"runs": "3", "looks": "20", "seed": "0"}
    with pytest.raises(InvalidInput, match="JSON values"):
        call("plan", {"minimum_effect": float("nan")})
    with pytest.raises(InvalidInput, match="JSON values"):
        call("register", {"name": object()})


def test_a_server_of_the_python_api_has_them() -> None:
    server = object.__new__(Server)
    server.control_url = "http://127.0.0.1:8001"
    with server.experiments("qk_x") as experiments:
        assert experiments.url == server.control_url
