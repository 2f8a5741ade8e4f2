"""What both clients of pool audits send, and what they make of replies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from quorate.client.requests import Request
from quorate.errors import InvalidInput

ENDED = frozenset({"done", "failed", "cancelled"})


@dataclasses.dataclass(frozen=True, slots=True)
class PoolAudit:
    """A pool audit as the control port shows it; times are Unix seconds.

    ``state`` is ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``; ``answer`` is what docs/pool-audit.md
    describes, ``error`` has ``code``, ``message`` and ``path``.
    """

    id: str
    name: str
    question: Mapping[str, Any]
    author: str
    state: str
    created: float
    started: float | None = None
    finished: float | None = None
    answer: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    @property
    def ended(self) -> bool:
        """Is it done, failed or cancelled?"""
        return self.state in ENDED

    @property
    def drop(self) -> tuple[str, ...]:
        """The members that are recommended to be dropped; none before it is done."""
        return () if self.answer is None else tuple(self.answer["recommended"]["drop"])


def submission(name: str, **asked: Any) -> Request:
    """Ask for an audit; what is None is left out."""
    body = {"name": name} | {key: value for key, value in asked.items() if value is not None}
    try:
        content = json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"A question is made of JSON values: {error}.", path="strategy") from None
    return Request("POST", "/v1/pool-audits", {"content-type": "application/json"}, content)


def one(id: str) -> Request:
    """Look at an audit."""
    return Request("GET", f"/v1/pool-audits/{quote(id, safe='')}")


def cancel(id: str) -> Request:
    """Stop an audit."""
    return Request("DELETE", f"/v1/pool-audits/{quote(id, safe='')}")


def newest(limit: int, before: str | None) -> Request:
    """Look at the newest audits."""
    asked: dict[str, Any] = {"limit": limit} | ({} if before is None else {"before": before})
    return Request("GET", f"/v1/pool-audits?{urlencode(asked)}")
