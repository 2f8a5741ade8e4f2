"""What a connection needs of the server around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from quorate.serving.http import Reply, Request

Handler = Callable[[Request], Awaitable[Reply]]
Tell = Callable[[Reply | None], None]
"""Told the reply to a prompt request, or None where it is to be handled after all."""


class Answering(Protocol):
    """What is under way for a request."""

    def cancel(self) -> object:
        """Its client has left."""


Prompter = Callable[[Request, Tell], Answering | Reply | None]
"""Answers a request without a task: begins to, and tells later, or replies at once; None where it cannot."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds: a request's head may take ``head_s``, a connection may be idle ``idle_s``, a client may leave a reply
    unread ``write_s``; after a refused body ``linger_s`` more of it are thrown away. ``connections`` at once."""

    head_s: float = 10.0
    idle_s: float = 75.0
    write_s: float = 30.0
    linger_s: float = 2.0
    connections: int = 16_384


class Server(Protocol):
    """What a connection needs of the server around it; it counts there the bytes that it moves."""

    handle: Handler
    prompt: Prompter
    limits: ConnectionLimits
    connections: set[Any]
    loop: asyncio.AbstractEventLoop
    received: int
    sent: int
    draining: bool

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Unix seconds."""

    def date(self) -> bytes:
        """The Date header."""

    def failed(self) -> None:
        """An error that is the server's own was caught."""
