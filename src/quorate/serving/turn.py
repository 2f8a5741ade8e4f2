"""The turn of one request on its connection."""

from __future__ import annotations

import os

from quorate.errors import QuorateError
from quorate.serving.http import Reply, Request
from quorate.serving.incoming import Incoming
from quorate.web.problem import problem


class Turn:
    """A request in its turn, or the error that stands in its place."""

    __slots__ = ("body", "error", "http10", "keep_alive", "request")

    def __init__(self, request: Request | None, body: Incoming | None, error: QuorateError | None = None) -> None:
        self.request = request
        self.body = body
        self.error = error
        self.http10 = False
        self.keep_alive = False

    @property
    def complete(self) -> bool:
        """Whether the request's body has come to its end, so that the next request can follow."""
        return self.body is not None and self.body.complete

    @property
    def head_only(self) -> bool:
        """Whether the reply has no body, whatever its headers say."""
        return self.request is not None and self.request.method == "HEAD"

    def refusal(self) -> Reply:
        """The reply of the error that stands in its place."""
        assert self.error is not None  # noqa: S101 - where there is no request, there is an error
        found = problem(self.error, request_id=os.urandom(16).hex())
        return found.status, found.headers, found.body
