"""What the clients of a server's control port share, for asyncio; as :mod:`quorate.client.control`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from quorate.client import answers, wire
from quorate.client.asynchronous import AsyncClient
from quorate.client.requests import Request
from quorate.client.wire import httpx

Found = TypeVar("Found")


class AsyncControlClient:
    """A connection to a server's control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters are those of :class:`~quorate.client.control.ControlClient`; ``sleep`` is awaited.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = AsyncClient(
            url, api_key, timeout=timeout, deadline=3 * timeout, transport=transport, sleep=sleep
        )
        self._timeout = timeout
        self._sleep = sleep
        self.url = self._client.url

    async def _ask(self, request: Request, kind: type[Found]) -> Found:
        return answers.parsed((await self._client._exchange(request)).body, kind)

    async def _ask_once(self, request: Request, kind: type[Found], content: Any = None) -> Found:
        """``content``, if given, is sent in the place of the request's own: a stream."""
        try:
            response = await self._client._http.request(
                request.method,
                self.url + request.path,
                headers=dict(request.headers),
                content=request.content if content is None else content,
                timeout=self._timeout,
            )
        except httpx.RequestError as error:
            raise wire.unreachable(error, self.url, self._timeout) from None
        return answers.parsed(wire.good(wire.reply(response)).body, kind)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
