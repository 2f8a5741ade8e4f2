"""HTTP as the inference port's handlers see it: a request whose body may still be coming, and what they reply."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from quorate.errors import MethodNotAllowed, NotFound
from quorate.web import headers as header
from quorate.web.limits import ClientDisconnected

log = logging.getLogger("quorate.serving")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = list[tuple[bytes, bytes]]
Body = bytes | AsyncIterator[bytes]
"""A reply's body: whole, or in pieces that are sent as they come."""
Reply = tuple[int, Headers, Body]

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
HTML: tuple[bytes, bytes] = (b"content-type", b"text/html; charset=utf-8")
BINARY: tuple[bytes, bytes] = (b"content-type", b"application/octet-stream")


class Request:
    """One HTTP request.

    ``path`` is decoded, ``query`` as it came; ``received`` are the headers in order, names in lower case. ``whole`` is
    the body where it came together with the head, None where it has to be waited for: ``receive`` gives it in the
    messages of ASGI. ``arrived`` is Unix seconds.
    """

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
        "whole",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        received: Headers,
        receive: Receive,
        arrived: float,
        whole: bytes | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.received = received
        self.headers: dict[bytes, bytes] = dict(received)
        self.receive = receive
        self.arrived = arrived
        self.whole = whole
        self.decision: str | None = None
        """Id of the decision that answers it, once there is one: for the log."""
        self.request_id = header.request_id(self.headers.get(b"x-request-id"))
        self.traceparent = header.traceparent(self.headers.get(b"traceparent"))

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, lower case."""
        given = self.headers.get(b"content-type", b"")
        if given == b"application/json":
            return "application/json"
        return given.partition(b";")[0].strip().lower().decode("latin-1")

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it comes; :class:`ClientDisconnected` if the client leaves before its end."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body", False):
                return

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
