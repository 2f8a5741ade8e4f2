"""What a call's metadata says: the headers of REST, under the same names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quorate.web import headers as header

_OURS = frozenset({"authorization", "x-api-key", "x-request-id", "traceparent", "idempotency-key"})


class Heads:
    """Key, request id, trace context and idempotency key of one call."""

    __slots__ = ("_found", "_received", "request_id", "traceparent")

    def __init__(self, metadata: Iterable[tuple[str, Any]]) -> None:
        self._received = [
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in metadata
            if name in _OURS and isinstance(value, str)
        ]
        self._found = dict(self._received)
        self.request_id = header.request_id(self._found.get(b"x-request-id"))
        self.traceparent = header.traceparent(self._found.get(b"traceparent"))

    def check(self) -> None:
        """Refuse (:class:`MalformedRequest`) metadata that two readers could understand differently."""
        header.check(self._received, self._found)

    @property
    def authorization(self) -> bytes | None:
        """``Bearer KEY``."""
        return self._found.get(b"authorization")

    @property
    def api_key(self) -> bytes | None:
        """The other place for a key."""
        return self._found.get(b"x-api-key")

    @property
    def idempotency_key(self) -> str | None:
        """A valid key, or None; :class:`MalformedRequest` for one that cannot be a key."""
        return header.idempotency_key(self._found.get(b"idempotency-key"))

    @property
    def echo(self) -> tuple[tuple[str, str], ...]:
        """What every answer carries back."""
        echo: tuple[tuple[str, str], ...] = (("x-request-id", self.request_id),)
        return echo if self.traceparent is None else (*echo, ("traceparent", self.traceparent))
