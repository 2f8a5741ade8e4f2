"""Both clients of pool audits, against a server that answers as control does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from quorate.client import AsyncPoolAudits, PoolAudits, RequestRefused
from quorate.errors import InvalidInput

AUDIT: dict[str, Any] = {
    "id": "f" * 32, "name": "e", "question": {"name": "e"}, "author": "key k", "state": "queued", "created": 1.0,
    "started": None, "finished": None, "answer": None, "error": None,
}  # fmt: skip
PROBLEM = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "It is hidden.", "code": "conflict"}


class Site:
    """Answers as the control port does; ``asked`` is what came. The third look finds it done."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if b"hidden" in request.content:
            return httpx.Response(409, json=PROBLEM, headers={"content-type": "application/problem+json"})
        if request.method == "POST":
            return httpx.Response(202, json=AUDIT)
        if request.method == "DELETE":
            return httpx.Response(200, json=AUDIT | {"state": "cancelled"})
        if request.url.path == "/v1/pool-audits":
            return httpx.Response(200, json=[AUDIT])
        done = {"state": "done", "answer": {"recommended": {"drop": ["c"]}}} if len(self.asked) >= 3 else {}
        return httpx.Response(200, json=AUDIT | done)


def sync(site: Site) -> Any:
    client = PoolAudits("http://127.0.0.1:8001", "qk_x", transport=httpx.MockTransport(site), sleep=lambda _: None)
    return lambda name, *given, **more: getattr(client, name)(*given, **more)


def awaited(site: Site) -> Any:
    async def rest(_: float) -> None:
        pass

    async def call(name: str, *given: Any, **more: Any) -> Any:
        transport = httpx.MockTransport(site)
        async with AsyncPoolAudits("http://127.0.0.1:8001", "qk_x", transport=transport, sleep=rest) as client:
            return await getattr(client, name)(*given, **more)

    return lambda name, *given, **more: asyncio.run(call(name, *given, **more))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture(params=[sync, awaited])
def call(request: Any, site: Site) -> Any:
    return request.param(site)


def test_asking_following_and_stopping(site: Site, call: Any) -> None:
    asked = call("submit", "e", strategy={"kind": "mean"}, margin=0.01, costs={"a": 2.0})
    assert (asked.state, asked.ended, asked.drop) == ("queued", False, ())
    done = call("wait", asked.id)
    assert (done.state, done.ended, done.drop, len(site.asked)) == ("done", True, ("c",), 3)
    assert [each.id for each in call("list", limit=5, before=asked.id)] == [asked.id]
    assert call("cancel", asked.id).state == "cancelled"
    assert json.loads(site.asked[0].content) == {
        "name": "e", "strategy": {"kind": "mean"}, "margin": 0.01, "costs": {"a": 2.0},
    }  # fmt: skip
    where = f"/v1/pool-audits/{'f' * 32}"
    assert [(r.method, r.url.raw_path.decode()) for r in site.asked[2:]] == [
        ("GET", where), ("GET", f"/v1/pool-audits?limit=5&before={'f' * 32}"), ("DELETE", where),
    ]  # fmt: skip
    assert {r.headers["authorization"] for r in site.asked} == {"Bearer qk_x"}


def test_refusals_are_errors_and_not_tried_again(site: Site, call: Any) -> None:
    with pytest.raises(RequestRefused, match="It is hidden") as refused:
        call("submit", "hidden")
    assert (refused.value.code, len(site.asked)) == ("conflict", 1)
    with pytest.raises(InvalidInput, match="JSON values"):
        call("submit", "e", margin=float("nan"))
