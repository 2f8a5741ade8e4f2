"""Pool audits from a client's side: asked for, followed and stopped on the control port."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from quorate.client import answers, job_requests, pool_audit_requests, wire
from quorate.client.pool_audit_requests import PoolAudit
from quorate.client.requests import Request
from quorate.client.sync import Client
from quorate.client.wire import httpx


class PoolAudits:
    """The pool audits of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``. What changes anything is asked once. Errors are those of
    :class:`~quorate.client.sync.Client`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = Client(url, api_key, timeout=timeout, deadline=3 * timeout, transport=transport, sleep=sleep)
        self._timeout = timeout
        self._sleep = sleep
        self.url = self._client.url

    def _once(self, request: Request) -> PoolAudit:
        try:
            response = self._client._http.request(
                request.method,
                self.url + request.path,
                headers=dict(request.headers),
                content=request.content,
                timeout=self._timeout,
            )
        except httpx.RequestError as error:
            raise job_requests.unreachable(error, self.url, self._timeout) from None
        return pool_audit_requests.taken(wire.reply(response))

    def submit(
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
        """Ask what the members of an endpoint or pool are worth, and which can go; see docs/pool-audit.md.

        It is done in the background; see :meth:`wait`.
        """
        return self._once(
            pool_audit_requests.submission(
                name, strategy=strategy, metric=metric, margin=margin, since=since, until=until, costs=costs
            )
        )

    def get(self, id: str) -> PoolAudit:
        """How far an audit is, and what it came to."""
        return answers.parsed(self._client._exchange(pool_audit_requests.one(id)).body, PoolAudit)

    def list(self, *, limit: int = 100, before: str | None = None) -> tuple[PoolAudit, ...]:
        """The newest audits, newest first; ``before`` the id of one, for the next page."""
        reply = self._client._exchange(pool_audit_requests.newest(limit, before))
        return answers.parsed(reply.body, tuple[PoolAudit, ...])

    def cancel(self, id: str) -> PoolAudit:
        """Stop an audit."""
        return self._once(pool_audit_requests.cancel(id))

    def wait(self, id: str, *, every: float = 0.5) -> PoolAudit:
        """Return when the audit has ended, looking ``every`` seconds; see ``error`` whether it failed."""
        while not (found := self.get(id)).ended:
            self._sleep(every)
        return found

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> PoolAudits:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
