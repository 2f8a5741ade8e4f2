"""Clients by key, and logging in: what is kept of a key, and what is read of somebody unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

import httpx
from fastapi import FastAPI

from quorate.console import apis as module
from quorate.console.apis import Apis, Doors
from quorate.console.app import MAX_LOGIN, login_routes
from quorate.console.session import Sessions
from quorate.testing.clock import FakeClock

FORM = {"content-type": "application/x-www-form-urlencoded"}


def with_apis(scenario: Callable[[Apis], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        apis = Apis("http://127.0.0.1:1", "http://127.0.0.1:2", FakeClock().monotonic)
        await scenario(apis)
        await apis.aclose()

    asyncio.run(run())


def test_nothing_is_kept_of_a_forgotten_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(apis: Apis) -> None:
        async def look() -> int:
            return 1

        kept, old = apis.client("kept"), apis.client("old")
        monkeypatch.setattr(module, "DEADLINE_S", 0.0)
        closed = asyncio.Event()
        monkeypatch.setattr(old, "aclose", lambda: _set(closed))
        assert await apis.shared(("endpoints", "old"), look) == 1
        apis.forget("old")
        await asyncio.wait_for(closed.wait(), 10)
        assert (apis._clients, apis._shared) == ({"kept": kept}, {})
        apis.forget("never seen")

    with_apis(scenario)


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_an_endpoint_applied_between_two_looks_is_told_by_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(apis: Apis) -> None:
        async def get(path: str, key: str | None, *, timeout_s: float) -> Any:
            return [] if path == "/v1/pools" else {"endpoints": [{"name": "new", "pool": "new"}]}

        async def known(_: str | None) -> tuple[()]:
            return ()

        monkeypatch.setattr(apis.control, "get", get)
        monkeypatch.setattr(apis, "_from_inference", known)
        assert await apis.endpoints(None) == ()

    with_apis(scenario)


class _Ports:
    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def doors(self, key: str | None) -> Doors:
        self.asked.append(key)
        return Doors(key == "right", key == "right")


def log_in(body: bytes) -> tuple[httpx.Response, list[str | None], Sessions]:
    app, ports, sessions = FastAPI(), _Ports(), Sessions(8002, FakeClock().monotonic)
    login_routes(app, ports, sessions)  # type: ignore[arg-type]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            return await http.post("/login", content=body, headers=FORM)

    return asyncio.run(ask()), ports.asked, sessions


def test_a_right_key_begins_a_session() -> None:
    response, asked, sessions = log_in(b"key=+right+")
    assert (response.status_code, asked) == (303, ["right"])
    session = sessions.find(response.cookies[sessions.cookie])
    assert session is not None
    assert session.key == "right"


@pytest.mark.parametrize(
    "body", [b"", b"key=", b"key=a+b", b"key=%c3%a9", b"key=" + b"a" * 513, b"a" * (MAX_LOGIN + 1)]
)
def test_what_is_no_key_is_not_tried_and_not_sent_back(body: bytes) -> None:
    response, asked, _ = log_in(body)
    assert (response.status_code, asked) == (403, [])
    assert "That is not a key" in response.text
    assert "aaaa" not in response.text


def test_a_wrong_key_is_refused() -> None:
    response, asked, _ = log_in(b"key=wrong")
    assert (response.status_code, asked) == (403, ["wrong"])
    assert "set-cookie" not in response.headers
