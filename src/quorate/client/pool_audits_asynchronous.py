"""Pool audits for asyncio; the same calls as :class:`~quorate.client.pool_audits.PoolAudits`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from quorate.client import answers, job_requests, pool_audit_requests, wire
from quorate.client.asynchronous import AsyncClient
from quorate.client.pool_audit_requests import PoolAudit
from quorate.client.requests import Request
from quorate.client.wire import httpx


class AsyncPoolAudits:
    """The pool audits of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.pool_audits.PoolAudits`; ``sleep`` is awaited.
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

    async def _once(self, request: Request) -> PoolAudit:
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
        return pool_audit_requests.taken(wire.reply(response))

    async def submit(
        self,
        name: str,
        *,
        strategy: str | Mapping[str, Any] | None = None,
        metric: str | None = None,
        margin: float | None = None,
        since: float | None = None,
        until: float | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.submit`."""
        return await self._once(
            pool_audit_requests.submission(
                name, strategy=strategy, metric=metric, margin=margin, since=since, until=until, costs=costs
            )
        )

    async def get(self, id: str) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.get`."""
        return answers.parsed((await self._client._exchange(pool_audit_requests.one(id))).body, PoolAudit)

    async def list(self, *, limit: int = 100, before: str | None = None) -> tuple[PoolAudit, ...]:
        """See :meth:`quorate.client.pool_audits.PoolAudits.list`."""
        reply = await self._client._exchange(pool_audit_requests.newest(limit, before))
        return answers.parsed(reply.body, tuple[PoolAudit, ...])

    async def cancel(self, id: str) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.cancel`."""
        return await self._once(pool_audit_requests.cancel(id))

    async def wait(self, id: str, *, every: float = 0.5) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.wait`."""
        while not (found := await self.get(id)).ended:
            await self._sleep(every)
        return found

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncPoolAudits:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
