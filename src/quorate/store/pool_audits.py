"""Pool audits in the store; ``endpoint`` is the endpoint or pool that was asked about."""

from __future__ import annotations

from quorate.store.questions import Questions

pool_audits = Questions("pool_audits")
