"""Calibration from the client's side: what both clients send, and what they make of replies."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from quorate.client import AsyncCalibrations, Calibrations, RequestRefused

SHOWN: dict[str, Any] = {
    "endpoint": "e",
    "strategies": [
        {"strategy": "a", "calibrated": False, "rows": 0, "ece": None, "bins": [], "refit": None},
        {"strategy": "b", "calibrated": True, "rows": 9, "ece": {"value": 0.1, "low": 0.0, "high": 0.2}, "bins": [
            {"from": 0.5, "to": 0.9, "confidence": 0.7, "accuracy": 0.6, "low": 0.4, "high": 0.8, "rows": 9}],
         "refit": {"state": "s", "version": 1}},
    ],
}  # fmt: skip
REFITTED: dict[str, Any] = {
    "endpoint": "e", "strategy": "b", "state": "s", "version": 2, "revision": 5, "rows": 700,
    "before": {"value": 0.1, "low": 0.05, "high": 0.2}, "after": {"value": 0.01, "low": 0.0, "high": 0.03},
}  # fmt: skip
PROBLEM = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "Too few.", "code": "conflict"}


class Site:
    """Answers as the control port does; ``asked`` is what came."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path.startswith("/v1/endpoints/busy"):
            return httpx.Response(409, json=PROBLEM, headers={"content-type": "application/problem+json"})
        return httpx.Response(200, json=SHOWN if request.method == "GET" else REFITTED)


def sync(site: Site) -> Any:
    client = Calibrations("http://127.0.0.1:8001", "qk_x", transport=httpx.MockTransport(site), sleep=lambda _: None)
    return lambda name, *given, **more: getattr(client, name)(*given, **more)


def awaited(site: Site) -> Any:
    async def rest(_: float) -> None:
        pass

    async def call(name: str, *given: Any, **more: Any) -> Any:
        transport = httpx.MockTransport(site)
        async with AsyncCalibrations("http://127.0.0.1:8001", "qk_x", transport=transport, sleep=rest) as client:
            return await getattr(client, name)(*given, **more)

    return lambda name, *given, **more: asyncio.run(call(name, *given, **more))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture(params=[sync, awaited])
def call(request: Any, site: Site) -> Any:
    return request.param(site)


def test_looking_and_fitting_again(site: Site, call: Any) -> None:
    found = call("reliability", "e")
    assert (found.endpoint, found.of("b")["bins"][0]["from"], found.of("a")["ece"]) == ("e", 0.5, None)
    call("reliability", "e", rows=100)
    done = call("refit", "e", "b")
    assert (done.version, done.revision, done.after["value"]) == (2, 5, 0.01)
    told = [(r.method, r.url.raw_path.decode().removeprefix("/v1/endpoints/e")) for r in site.asked]
    assert told == [("GET", "/reliability"), ("GET", "/reliability?rows=100"), ("POST", "/strategies/b/refit")]
    assert {r.headers["authorization"] for r in site.asked} == {"Bearer qk_x"}


def test_a_refusal_is_an_error_and_not_tried_again(site: Site, call: Any) -> None:
    with pytest.raises(RequestRefused, match="Too few") as refused:
        call("refit", "busy", "b")
    assert refused.value.code == "conflict"
    assert len(site.asked) == 1
