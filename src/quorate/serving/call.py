"""One request as a transport understood it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quorate.core.asking import MAX_MS, MIN_CONFIDENCE
from quorate.core.types import NOTHING, Scalar

Priority = Literal["interactive", "bulk"]


@dataclass(slots=True)
class Call:
    """One request as a transport understood it.

    ``raw`` is the signature's raw input, ``path`` what its rows are called in errors, ``size`` its bytes, ``digest`` of
    the bytes received. ``arrived`` is Unix seconds, ``started`` monotonic seconds: the deadline counts from there.
    ``max_ms`` bounds the time and the members that are asked within it, ``min_confidence`` what is answered at all.
    ``priority``: bulk work waits where interactive work waits too. ``facts`` are known before the endpoint's policy
    asks for any, such as the front that the request came through; they are recorded.
    """

    raw: Mapping[str, Any]
    rows: int
    size: int
    digest: bytes
    arrived: float
    started: float
    path: str = "instances"
    strategy: str | None = None
    max_ms: float | None = None
    min_confidence: float | None = None
    coverage: float | None = None
    context: Mapping[str, Scalar] = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    priority: Priority = "interactive"
    facts: Mapping[str, Scalar] = field(default_factory=lambda: NOTHING)

    @property
    def plain(self) -> bool:
        """Whether nothing was asked that changes who answers, or whether anybody does."""
        return self.max_ms is None and self.min_confidence is None

    @property
    def noted(self) -> Mapping[str, Scalar]:
        """Its facts, with what it asks of who answers: what a decision records."""
        if self.plain:
            return self.facts
        asked = ((MAX_MS, self.max_ms), (MIN_CONFIDENCE, self.min_confidence))
        return {**self.facts, **{name: value for name, value in asked if value is not None}}
