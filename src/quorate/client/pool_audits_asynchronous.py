"""Pool audits for asyncio; the same calls as :class:`~quorate.client.pool_audits.PoolAudits`, awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.client import pool_audit_requests
from quorate.client.control_asynchronous import AsyncControlClient
from quorate.client.pool_audit_requests import PoolAudit


class AsyncPoolAudits(AsyncControlClient):
    """The pool audits of a server, by its control port, for one event loop; ``aclose`` it, or use ``async with``.

    Parameters and errors are those of :class:`~quorate.client.pool_audits.PoolAudits`; ``sleep`` is awaited.
    """

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
        request = pool_audit_requests.submission(
            name, strategy=strategy, metric=metric, margin=margin, since=since, until=until, costs=costs
        )
        return await self._ask_once(request, PoolAudit)

    async def get(self, id: str) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.get`."""
        return await self._ask(pool_audit_requests.one(id), PoolAudit)

    async def list(self, *, limit: int = 100, before: str | None = None) -> tuple[PoolAudit, ...]:
        """See :meth:`quorate.client.pool_audits.PoolAudits.list`."""
        return await self._ask(pool_audit_requests.newest(limit, before), tuple[PoolAudit, ...])

    async def cancel(self, id: str) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.cancel`."""
        return await self._ask_once(pool_audit_requests.cancel(id), PoolAudit)

    async def wait(self, id: str, *, every: float = 0.5) -> PoolAudit:
        """See :meth:`quorate.client.pool_audits.PoolAudits.wait`."""
        while not (found := await self.get(id)).ended:
            await self._sleep(every)
        return found
