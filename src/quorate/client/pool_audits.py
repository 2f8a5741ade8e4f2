"""Pool audits from a client's side: asked for, followed and stopped on the control port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.client import pool_audit_requests
from quorate.client.control import ControlClient
from quorate.client.pool_audit_requests import PoolAudit


class PoolAudits(ControlClient):
    """The pool audits of a server, by its control port (``http://127.0.0.1:8001``); close it, or use ``with``.

    The key needs the role ``operate``. What changes anything is asked once. Errors are those of
    :class:`~quorate.client.sync.Client`.
    """

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
        request = pool_audit_requests.submission(
            name, strategy=strategy, metric=metric, margin=margin, since=since, until=until, costs=costs
        )
        return self._ask_once(request, PoolAudit)

    def get(self, id: str) -> PoolAudit:
        """How far an audit is, and what it came to."""
        return self._ask(pool_audit_requests.one(id), PoolAudit)

    def list(self, *, limit: int = 100, before: str | None = None) -> tuple[PoolAudit, ...]:
        """The newest audits, newest first; ``before`` the id of one, for the next page."""
        return self._ask(pool_audit_requests.newest(limit, before), tuple[PoolAudit, ...])

    def cancel(self, id: str) -> PoolAudit:
        """Stop an audit."""
        return self._ask_once(pool_audit_requests.cancel(id), PoolAudit)

    def wait(self, id: str, *, every: float = 0.5) -> PoolAudit:
        """Return when the audit has ended, looking ``every`` seconds; see ``error`` whether it failed."""
        while not (found := self.get(id)).ended:
            self._sleep(every)
        return found
