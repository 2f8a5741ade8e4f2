"""HTTP as the inference port's handlers see it: a request whose body is not read yet, and what they reply."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from quorate.errors import MethodNotAllowed, NotFound
from quorate.web import headers as header

log = logging.getLogger("quorate.serving")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Reply = tuple[int, Headers, bytes]

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
HTML: tuple[bytes, bytes] = (b"content-type", b"text/html; charset=utf-8")
BINARY: tuple[bytes, bytes] = (b"content-type", b"application/octet-stream")


class Request:
    """One HTTP request, its body not read yet."""

    __slots__ = (
        "arrived",
        "decision",
        "headers",
        "method",
        "path",
        "query",
        "receive",
        "received",
        "request_id",
        "traceparent",
    )

    def __init__(self, scope: Scope, receive: Receive, arrived: float) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.received: Headers = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(self.received)
        self.receive = receive
        self.arrived = arrived
        self.decision: str | None = None
        """Id of the decision that answers it, once there is one: for the log."""
        self.request_id = header.request_id(self.headers.get(b"x-request-id"))
        self.traceparent = header.traceparent(self.headers.get(b"traceparent"))

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, lower case."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")

    def log_unexpected(self) -> None:
        """Log the exception being handled, which nobody foresaw."""
        ids = {"request_id": self.request_id, "decision": self.decision}
        log.exception("Request %s %s failed (%s)", self.method, self.path[:200], self.request_id, extra=ids)


def allow(request: Request, method: str) -> None:
    """Raise :class:`MethodNotAllowed` for another method; HEAD goes where GET does."""
    allowed = ("GET", "HEAD") if method == "GET" else (method,)
    if request.method not in allowed:
        raise MethodNotAllowed(
            f"{request.path[:200]} takes {' or '.join(allowed)}; got {request.method[:16]}.",
            allow=allowed,
            path="method",
        )


def no_route(request: Request) -> NotFound:
    """The error for a path that leads nowhere."""
    return NotFound(f"There is no route {request.path[:200]}; /docs lists them.", path="path")
