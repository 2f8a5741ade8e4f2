"""The HTTP/1.1 server of a worker: its connections, their time limits, and how it drains."""

from __future__ import annotations

import asyncio
import logging
import socket
from email.utils import formatdate

from quorate.clock import Clock
from quorate.serving.connection import Connection
from quorate.serving.listening import ConnectionLimits, Handler, Prompter

log = logging.getLogger("quorate.serving")

BACKLOG = 2048
NEWCOMERS_S = 4.0
_SWEEP_S = 0.5
_ACCEPTED = 64
"""Connections that are accepted at a time: the loop's own server takes one, and under load a turn takes long."""
_PAUSE_S = 1.0


class HttpServer:
    """Serves a handler on a listening socket; belongs to one event loop. ``received`` and ``sent`` are bytes.

    What is here as a whole is shown to ``prompt`` first, which may begin to answer it without a task.
    """

    def __init__(
        self,
        handle: Handler,
        *,
        clock: Clock,
        limits: ConnectionLimits | None = None,
        prompt: Prompter = lambda _request, _tell: None,
    ) -> None:
        self.handle = handle
        self.prompt = prompt
        self.limits = limits or ConnectionLimits()
        self.connections: set[Connection] = set()
        self.received = 0
        self.sent = 0
        self.refused = 0
        self.draining = False
        self.now = clock.monotonic
        self.wall = clock.now
        self.loop: asyncio.AbstractEventLoop
        self._listener: socket.socket | None = None
        self._greetings: set[asyncio.Task[object]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._date = (0, b"")

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        self.loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listen(listener)
        self._sweep()

    def _listen(self, listener: socket.socket) -> None:
        self._listener = listener
        self.loop.add_reader(listener.fileno(), self._accept, _ACCEPTED)

    def _accept(self, most: int) -> None:
        """Take connections that wait."""
        listener = self._listener
        if listener is None:
            return
        for _ in range(most):
            try:
                accepted = listener.accept()[0]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # as a rule, too many files are open
                log.error("No connection can be accepted, trying again in %g s: %s", _PAUSE_S, error)
                self.loop.remove_reader(listener.fileno())
                self.loop.call_later(_PAUSE_S, self._resume)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeting = self.loop.create_task(self._greet(accepted))
            self._greetings.add(greeting)
            greeting.add_done_callback(self._greetings.discard)

    def _resume(self) -> None:
        if self._listener is not None:
            self._listen(self._listener)

    async def _greet(self, accepted: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(self._connect, accepted)
        except OSError:  # it has left already
            accepted.close()

    def _connect(self) -> asyncio.Protocol:
        if len(self.connections) >= self.limits.connections:
            self.refused += 1
            return _Full()
        return Connection(self)

    def _sweep(self) -> None:
        now = self.now()
        for connection in [c for c in self.connections if c.due <= now]:
            connection.expire()
        self._sweeping = self.loop.call_later(_SWEEP_S, self._sweep)

    async def retire(self, patience: float) -> None:
        """Accept nothing more, and close each connection with its next reply; for up to ``patience`` seconds.

        So a client that is sending a request just now gets its answer, and no connection that waits to be accepted is
        lost: others share the port. Who has just connected and sent nothing yet is waited for a little longer.
        """
        self.draining = True
        await self._stop_listening()
        until = self.now() + patience
        while self.now() < until + NEWCOMERS_S and any(c.silent or self.now() < until for c in self.connections):
            await asyncio.sleep(0.01)

    async def _stop_listening(self) -> None:
        """Take what waits and close; at once: between the last accept and this, a connection could be lost."""
        listener = self._listener
        if listener is None:
            return
        self._accept(BACKLOG)
        self._listener = None
        self.loop.remove_reader(listener.fileno())
        listener.close()
        if self._greetings:
            await asyncio.wait(self._greetings)

    async def drain(self, timeout: float) -> bool:
        """Accept nothing more, answer what has come, close; False if that took longer than ``timeout`` seconds."""
        self.draining = True
        await self._stop_listening()
        for connection in list(self.connections):
            connection.drain()
        try:
            async with asyncio.timeout(timeout):
                while self.connections:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            log.warning("%d requests had no answer when the time to drain was over.", len(self.connections))
            for connection in list(self.connections):
                connection.abort()
            return False
        finally:
            if self._sweeping is not None:
                self._sweeping.cancel()
        return True

    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent since the last call."""
        since = self.received, self.sent
        self.received = self.sent = 0
        return since

    def failed(self) -> None:
        """An error in the server itself; the connection is aborted."""
        log.exception("A connection failed")

    def date(self) -> bytes:
        """The Date header, made once a second."""
        second = int(self.wall())
        if second != self._date[0]:
            self._date = (second, b"date: " + formatdate(second, usegmt=True).encode() + b"\r\n")
        return self._date[1]


class _Full(asyncio.Protocol):
    """Too many connections are open: this one is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
