"""The two APIs as one session sees them: its key, its endpoints, and what is wrong in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from quorate.client import AsyncClient, QuorateClientError, ServerUnavailable
from quorate.console.catalogue import Endpoint, from_control, from_inference
from quorate.console.control import Control, ControlGone, ControlRefused

RETRIES = 3
DEADLINE_S = 6.0
TIMEOUT_S = 2.0
CLIENTS = 64
SHARED_S = 1.0
"""Seconds for which pages with the same key share one look at control."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Whether a key opens a port: True, False, or None where that port cannot be asked now."""

    inference: bool | None
    control: bool | None


class Apis:
    """Clients by key, and what was read a moment ago."""

    def __init__(self, inference: str, control: str, now: Callable[[], float]) -> None:
        self._inference = inference
        self._control = control
        self.control = Control(control)
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self._now = now
        self._clients: dict[str | None, AsyncClient] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._shared: dict[tuple[Any, ...], tuple[float, asyncio.Task[Any]]] = {}

    def client(self, key: str | None) -> AsyncClient:
        """The client that asks with this key."""
        found = self._clients.get(key)
        if found is None:
            if len(self._clients) >= CLIENTS:
                self.forget(next(iter(self._clients)))
            found = AsyncClient(self._inference, key, retries=RETRIES, deadline=DEADLINE_S, timeout=DEADLINE_S)
            self._clients[key] = found
        return found

    def forget(self, key: str | None) -> None:
        """Keep nothing of a key: its client is closed when what is under way has ended."""
        old = self._clients.pop(key, None)
        if old is not None:
            asyncio.get_running_loop().call_later(DEADLINE_S, self._close, old)
        for what in [what for what in self._shared if what[1] == key]:
            self._shared.pop(what)[1].add_done_callback(_looked_at)

    def _close(self, client: AsyncClient) -> None:
        task = asyncio.ensure_future(client.aclose())
        self._closing.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._closing.discard)

    async def doors(self, key: str | None) -> Doors:
        """Which ports the key opens."""
        return Doors(*await asyncio.gather(self._opens_inference(key), self._opens_control(key)))

    async def _opens_inference(self, key: str | None) -> bool | None:
        return _opened(await self._status("POST", f"{self._inference}/v2/repository/index", key))

    async def _opens_control(self, key: str | None) -> bool | None:
        return _opened(await self._status("GET", f"{self._control}/v1/endpoints", key))

    async def _status(self, method: str, url: str, key: str | None) -> int | None:
        try:
            response = await self._http.request(method, url, headers={"x-api-key": key} if key else {})
        except httpx.TransportError:
            return None
        return response.status_code

    async def endpoints(self, key: str | None) -> tuple[Endpoint, ...]:
        """What the key may ask, by name; raises :class:`QuorateClientError` where neither port tells."""
        found: tuple[Endpoint, ...] = await self.shared(("endpoints", key), lambda: self._endpoints(key))
        return found

    async def _endpoints(self, key: str | None) -> tuple[Endpoint, ...]:
        try:
            listed, pools = await asyncio.gather(
                self.control.get("/v1/endpoints", key, timeout_s=TIMEOUT_S),
                self.control.get("/v1/pools", key, timeout_s=TIMEOUT_S),
            )
        except (ControlGone, ControlRefused):
            return await self._from_inference(key)
        by_name = {pool["name"]: pool for pool in pools}
        if any(found["pool"] not in by_name for found in listed["endpoints"]):  # applied between the two looks
            return await self._from_inference(key)
        return tuple(from_control(found, by_name[found["pool"]]) for found in listed["endpoints"])

    async def _from_inference(self, key: str | None) -> tuple[Endpoint, ...]:
        async with AsyncClient(self._inference, key, retries=0, timeout=TIMEOUT_S) as client:
            return tuple(from_inference(info) for info in await client.endpoints())

    async def shared(self, what: tuple[Any, ...], look: Callable[[], Awaitable[Any]]) -> Any:
        """The result of ``look``, or of one that began less than :data:`SHARED_S` seconds ago for the same thing.

        ``what`` is the kind of thing, the key that looks, and whatever else there is to tell things apart.
        """
        began, task = self._shared.get(what, (0.0, None))
        if task is None or self._now() - began > SHARED_S or task.cancelled():
            self._forget()
            began, task = self._now(), asyncio.ensure_future(look())
            self._shared[what] = began, task
        return await asyncio.shield(task)

    def drop(self, *what: Any) -> None:
        """Look anew at a thing at once: it was changed just now."""
        old = self._shared.pop(what, None)
        if old is not None:
            old[1].add_done_callback(_looked_at)

    def _forget(self) -> None:
        for what, (began, task) in list(self._shared.items()):
            if self._now() - began > SHARED_S and task.done():
                _looked_at(task)
                del self._shared[what]

    async def aclose(self) -> None:
        """Close all connections."""
        await self.control.aclose()
        await self._http.aclose()
        for client in self._clients.values():
            await client.aclose()


def _looked_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # so that nobody complains that nobody looked


def _opened(status: int | None) -> bool | None:
    if status in (401, 403):
        return False
    return True if status == 200 else None


def in_words(error: QuorateClientError) -> str:
    """What to tell a person who asked."""
    if error.status == 401:
        return "Your API key is not valid any more. Log in again with another one."
    if isinstance(error, ServerUnavailable) and error.status is None:
        return "The inference server cannot be reached. It is started again by itself; try once more in a moment."
    return error.message
