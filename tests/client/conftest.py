"""A scripted server without sockets, and both clients asking it on a clock that only moves when they wait."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from quorate.client import AsyncClient, Client
from quorate.testing import FakeClock

URL = "http://127.0.0.1:8000"


class FakeServer:
    """Answers predict as the server does, after the faults of a script.

    A fault is an exception class, a status (with headers: a tuple), or ``lost``: decided, but the reply never arrives.
    ``decisions`` has one entry per decision; a key that was seen gets its first answer back.
    """

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []
        self.decisions: list[str] = []
        self._known: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
            fault = self.script.pop(0) if self.script else None
            if isinstance(fault, httpx.Response):
                return fault
            if isinstance(fault, type):
                raise fault("scripted", request=request)
            if isinstance(fault, int | tuple):
                status, headers = fault if isinstance(fault, tuple) else (fault, {})
                return problem(status, **headers)
            answer = self.predict(request)
            if fault == "lost":
                raise httpx.ReadTimeout("scripted", request=request)
            return answer

    def predict(self, request: httpx.Request) -> httpx.Response:
        key = request.headers["idempotency-key"]
        headers = {"x-request-id": f"r{len(self.requests)}"}
        if key in self._known:
            return httpx.Response(200, json=self._known[key], headers=headers | {"idempotency-replayed": "true"})
        self.decisions.append(key)
        self._known[key] = {
            "id": f"d{len(self.decisions)}",
            "endpoint": "digits",
            "predictions": [{"label": request.content.decode("latin-1")[:20], "confidence": 1, "probabilities": {}}],
            "strategy": "s",
            "degraded": False,
            "missing": [],
            "latency_ms": 1.5,
        }
        return httpx.Response(200, json=self._known[key], headers=headers)


def problem(status: int, code: str = "scripted", path: str | None = None, **headers: str) -> httpx.Response:
    """A problem document."""
    body = {"status": status, "detail": f"Scripted {status}.", "code": code, "request_id": "r0"}
    return httpx.Response(status, json=body | ({"path": path} if path else {}), headers=headers)


class Asking:
    """``asking(server, lambda client: client.predict(…))``, with either client; ``pauses`` in seconds."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clock = FakeClock()
        self.pauses: list[float] = []

    def __call__(
        self, server: Callable[[httpx.Request], httpx.Response], ask: Callable[[Any], Any], **more: Any
    ) -> Any:
        settings: dict[str, Any] = {
            "url": URL, "clock": self.clock, "rng": random.Random(7), "transport": httpx.MockTransport(server)
        }  # fmt: skip
        if self.kind == "sync":
            with Client(sleep=self._pause, **settings | more) as client:
                found = ask(client)
                return list(found) if isinstance(found, Iterator) else found
        return asyncio.run(self._async(ask, settings | more))

    async def _async(self, ask: Callable[[Any], Any], settings: dict[str, Any]) -> Any:
        async def sleep(seconds: float) -> None:
            self._pause(seconds)

        async with AsyncClient(sleep=sleep, **settings) as client:
            found = ask(client)
            if inspect.isawaitable(found):
                return await found
            return [item async for item in found] if isinstance(found, AsyncIterator) else found

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)


@pytest.fixture(params=["sync", "async"])
def asking(request: pytest.FixtureRequest) -> Asking:
    """Both clients, one after the other."""
    return Asking(request.param)


@pytest.fixture
def fake_server() -> type[FakeServer]:
    """The scripted server's class."""
    return FakeServer


@pytest.fixture
def refuse() -> Callable[..., httpx.Response]:
    """Makes a problem document."""
    return problem


def sent(request: httpx.Request) -> Any:
    """The JSON of a request."""
    return json.loads(request.content)


@pytest.fixture
def body_of() -> Callable[[httpx.Request], Any]:
    """Reads the JSON of a request."""
    return sent
