"""Learners for asyncio; the same calls as :class:`~quorate.client.learners.Learners`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from quorate.client import answers, job_requests, learner_requests, selection_requests, wire
from quorate.client.asynchronous import AsyncClient
from quorate.client.learner_requests import Learned, WarmStart
from quorate.client.requests import Request
from quorate.client.retries import Reply
from quorate.client.selection_requests import Regret, Trust
from quorate.client.wire import httpx


class AsyncLearners:
    """The learners of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.learners.Learners`; ``sleep`` is awaited.
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

    async def _once(self, request: Request) -> Reply:
        try:
            response = await self._client._http.request(
                request.method,
                self.url + request.path,
                headers=dict(request.headers),
                content=request.content,
                timeout=self._timeout,
            )
        except httpx.RequestError as error:
            raise job_requests.unreachable(error, self.url, self._timeout) from None
        return learner_requests.good(wire.reply(response))

    async def get(self, endpoint: str) -> Learned:
        """See :meth:`quorate.client.learners.Learners.get`."""
        return answers.parsed((await self._client._exchange(learner_requests.one(endpoint))).body, Learned)

    async def trust(self, endpoint: str, *, strategy: str | None = None, by: str | None = None) -> Trust:
        """See :meth:`quorate.client.learners.Learners.trust`."""
        asked = selection_requests.trust(endpoint, strategy, by)
        return answers.parsed((await self._client._exchange(asked)).body, Trust)

    async def regret(self, endpoint: str, *, points: int | None = None) -> Regret:
        """See :meth:`quorate.client.learners.Learners.regret`."""
        asked = selection_requests.regret(endpoint, points)
        return answers.parsed((await self._client._exchange(asked)).body, Regret)

    async def reset(self, endpoint: str) -> Learned:
        """See :meth:`quorate.client.learners.Learners.reset`."""
        return answers.parsed((await self._once(learner_requests.reset(endpoint))).body, Learned)

    async def warm_start(self, endpoint: str, *, since: float | None = None) -> WarmStart:
        """See :meth:`quorate.client.learners.Learners.warm_start`."""
        return answers.parsed((await self._once(learner_requests.warm_start(endpoint, since))).body, WarmStart)

    async def newest_warm_start(self, endpoint: str) -> WarmStart:
        """See :meth:`quorate.client.learners.Learners.newest_warm_start`."""
        return answers.parsed((await self._client._exchange(learner_requests.newest(endpoint))).body, WarmStart)

    async def wait(self, endpoint: str, *, every: float = 0.5) -> WarmStart:
        """See :meth:`quorate.client.learners.Learners.wait`."""
        while not (found := await self.newest_warm_start(endpoint)).over:
            await self._sleep(every)
        return found

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncLearners:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
