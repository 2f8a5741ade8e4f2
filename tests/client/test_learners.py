"""Learners from the client's side: what both clients send, and what they make of replies."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from quorate.client import AsyncLearners, Learners, RequestRefused

SHOWN: dict[str, Any] = {
    "endpoint": "e", "policy": "thompson", "reward": {"metric": "reward", "low": 0.0, "high": 1.0}, "version": 3,
    "since": 1.0, "updated": 2.0, "rows": {"learned": 5}, "shares": {"a": 0.25, "b": 0.75}, "state": {"n": [1, 4]},
}  # fmt: skip
WARM: dict[str, Any] = {
    "endpoint": "e", "state": "queued", "since": 7.0, "author": "key k", "asked": 9.0, "ended": None, "learned": None,
    "error": None,
}  # fmt: skip
PROBLEM = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "One runs.", "code": "conflict"}


class Site:
    """Answers as the control port does; ``asked`` is what came."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if path.startswith("/v1/endpoints/busy"):
            return httpx.Response(409, json=PROBLEM, headers={"content-type": "application/problem+json"})
        if not path.endswith("/warm-start"):
            return httpx.Response(200, json=SHOWN)
        if request.method == "POST":
            return httpx.Response(202, json=WARM)
        done = {"state": "done", "ended": 11.0, "learned": {"learned": 5}} if len(self.asked) >= 3 else {}
        return httpx.Response(200, json=WARM | done)


def sync(site: Site) -> Any:
    client = Learners("http://127.0.0.1:8001", "qk_x", transport=httpx.MockTransport(site), sleep=lambda _: None)
    return lambda name, *given, **more: getattr(client, name)(*given, **more)


def awaited(site: Site) -> Any:
    async def rest(_: float) -> None:
        pass

    async def call(name: str, *given: Any, **more: Any) -> Any:
        transport = httpx.MockTransport(site)
        async with AsyncLearners("http://127.0.0.1:8001", "qk_x", transport=transport, sleep=rest) as client:
            return await getattr(client, name)(*given, **more)

    return lambda name, *given, **more: asyncio.run(call(name, *given, **more))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture(params=[sync, awaited])
def call(request: Any, site: Site) -> Any:
    return request.param(site)


def test_looking_resetting_and_beginning_with_history(site: Site, call: Any) -> None:
    assert call("get", "e").shares == {"a": 0.25, "b": 0.75}
    assert call("reset", "e").version == 3
    begun = call("warm_start", "e", since=0.0)
    assert (begun.state, begun.over, begun.since) == ("queued", False, 7.0)
    call("warm_start", "e")
    told = [(r.method, r.url.raw_path.decode().removeprefix("/v1/endpoints/e/learner")) for r in site.asked]
    assert told == [("GET", ""), ("POST", "/reset"), ("POST", "/warm-start?since=0.0"), ("POST", "/warm-start")]
    assert {r.headers["authorization"] for r in site.asked} == {"Bearer qk_x"}


def test_waiting_ends_with_the_warm_start(site: Site, call: Any) -> None:
    found = call("wait", "e")
    assert (found.over, found.learned, len(site.asked)) == (True, {"learned": 5}, 3)


def test_refusals_are_errors_and_not_tried_again(site: Site, call: Any) -> None:
    for name in ("reset", "warm_start"):
        site.asked.clear()
        with pytest.raises(RequestRefused, match="One runs") as refused:
            call(name, "busy")
        assert refused.value.code == "conflict"
        assert len(site.asked) == 1
