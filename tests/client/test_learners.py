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
TRUST: dict[str, Any] = {
    "endpoint": "e", "strategy": "near", "kind": "ola", "means": "weight", "members": ["a", "b"], "strategies": [],
    "by": "context.k", "ways": [{"by": "label", "title": "predicted label"}], "decisions": 2, "rows": 3, "since": 1.0,
    "until": 2.0, "overall": {"a": 0.25, "b": 0.75}, "groups": [{"name": "x", "rows": 3, "shares": {"a": 0.25}}],
    "left_out": {}, "experts": None,
}  # fmt: skip
REGRET: dict[str, Any] = {
    "endpoint": "e", "policy": "exp3", "learns": True, "metric": "accuracy", "unit": "mistakes", "known": "all",
    "rows": 9, "outcomes": 9, "since": 1.0, "until": 2.0, "whole": True, "served": 4.0, "best": "a", "regret": 1.0,
    "others": [{"name": "a", "loss": 3.0}], "points": [], "left_out": {}, "bound": None, "combiners": [],
}  # fmt: skip
COVERAGE: dict[str, Any] = {
    "endpoint": "e", "since": 60.0, "strategies": [{
        "strategy": "a", "score": "lac", "conditional": False, "calibration_rows": 99, "default": None,
        "abstain": "never", "adaptive": None,
        "promises": [{"asked": 0.9, "rows": 9, "coverage": 1.0, "low": 0.7, "high": 1.0, "size": 1.5}],
    }],
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
        for name, found in (("trust", TRUST), ("regret", REGRET), ("coverage", COVERAGE)):
            if path.endswith(f"/{name}"):
                return httpx.Response(200, json=found)
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


def test_trust_and_regret_are_asked_for(site: Site, call: Any) -> None:
    found = call("trust", "e", strategy="near", by="context.k")
    assert (found.overall, found.groups[0]["rows"], found.experts) == ({"a": 0.25, "b": 0.75}, 3, None)
    call("trust", "e/f")
    regret = call("regret", "e", points=7)
    assert (regret.served, regret.best, regret.others[0]["loss"]) == (4.0, "a", 3.0)
    call("regret", "e")
    assert [request.url.raw_path.decode() for request in site.asked] == [
        "/v1/endpoints/e/trust?strategy=near&by=context.k", "/v1/endpoints/e%2Ff/trust",
        "/v1/endpoints/e/regret?points=7", "/v1/endpoints/e/regret",
    ]  # fmt: skip


def test_where_only_combiners_learn_there_is_no_reward(site: Site, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    combiners = {"online": {"kind": "online", "rows": 3, "trust": {"a": 1.0}, "certificate": 0.5}}
    monkeypatch.setitem(SHOWN, "reward", None)
    monkeypatch.setitem(SHOWN, "combiners", combiners)
    found = call("get", "e")
    assert found.reward is None
    assert found.combiners["online"]["rows"] == 3


def test_live_coverage_is_asked_for(site: Site, call: Any) -> None:
    found = call("coverage", "e", since=61.5)
    assert (found.endpoint, found.since, found.of("a")["promises"][0]["coverage"]) == ("e", 60.0, 1.0)
    call("coverage", "e/f")
    with pytest.raises(KeyError):
        found.of("b")
    with pytest.raises(RequestRefused, match="One runs"):  # as while an experiment hides its arms
        call("coverage", "busy")
    assert [request.url.raw_path.decode() for request in site.asked] == [
        "/v1/endpoints/e/coverage?since=61.5", "/v1/endpoints/e%2Ff/coverage", "/v1/endpoints/busy/coverage",
    ]  # fmt: skip
