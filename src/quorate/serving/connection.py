"""One HTTP/1.1 connection of the inference port: bytes to requests, replies to bytes, in order, within bounds.

Parsing is llhttp's (by ``httptools``). What is added here is what a public port needs and a framework's server would
charge two thirds of a small request's time for: requests are answered one after the other, also where the client sends
the next before it has read the last (pipelining); unread bodies and unread replies stop the reading; a head or a reply
that makes no progress ends the connection; a client that leaves cancels its request.

Reference: RFC 9112, HTTP/1.1.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from math import inf
from typing import cast

import httptools

from quorate.errors import MalformedRequest
from quorate.serving.http import Headers, Reply, Request
from quorate.serving.incoming import Incoming
from quorate.serving.listening import Answering, Server
from quorate.serving.message import framed, reply_head, target, without_offer
from quorate.serving.turn import Turn
from quorate.web.limits import ClientDisconnected

MAX_HEAD = 64 * 1024
UNREAD_BODY = 256 * 1024
"""Bytes of a body that wait for their handler; beyond them the connection is not read."""
PIPELINED = 16
"""Requests that wait behind the one being answered; beyond them the connection is not read."""

_BEGUN, _MORE = 1, 2
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MESSAGE = (
    "The bytes received are no HTTP/1.1 request, or its head (the request line and the headers) has more than "
    f"{MAX_HEAD} bytes; the connection is closed."
)
_SLOW = "The head of the request did not arrive within {:g} s; the connection is closed."


class Connection(asyncio.Protocol):
    """The protocol of one connection; ``due`` is when it is closed unless something happens (monotonic seconds).

    ``silent`` says that nothing came over it yet.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._turns: deque[Turn] = deque()
        self._task: Answering | None = None
        self._coming: Turn | None = None  # whose body is coming
        self._url = b""
        self._headers: Headers = []
        self._idle_bytes = 0
        self._progress = 0  # what this read brought: nothing whole, the beginning of a head, or more
        self._in_head = False
        self._paused = False
        self._stopped = False  # nothing that comes is parsed any more
        self.silent = True
        self._lost = False
        self._broken = False  # what came is no HTTP, and more of it may follow
        self._last = False  # the reply that was sent closes the connection
        self._large = False
        self._full: asyncio.Future[None] | None = None
        self._unsent = 0  # bytes that waited for the client when it was last looked
        self.due = server.now() + server.limits.head_s

    # --- the transport's calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._stopped = True
        self._server.connections.discard(self)
        for turn in self._turns:
            if turn.body is not None:
                turn.body.leave()
        if self._full is not None and not self._full.done():
            self._full.set_result(None)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._server.received += len(data)
        self.silent = False
        if self._stopped:
            return
        self._large = len(data) > MAX_HEAD
        self._progress = 0
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._refuse(_MESSAGE)
        else:
            # Heads, and the trailers behind a chunked body, come before anything is understood of them.
            if self._progress:
                self._idle_bytes = len(data) if self._progress == _BEGUN else 0
            else:
                self._idle_bytes += len(data)
            if self._idle_bytes > MAX_HEAD:
                self._refuse(_MESSAGE)
        if self._turns and self._task is None:
            self._begin()
        if len(self._turns) > PIPELINED or (self._coming is not None and self._unread() > UNREAD_BODY):
            self._pause()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._pass_over(data[offer.args[0] :])
            else:
                return

    def _pass_over(self, rest: bytes) -> bytes:
        """An offer of another protocol, at which the parser stops: the same request without it, to be parsed anew.

        Java's client offers HTTP/2 in its first request, which may have a body.
        """
        request = self._turns.pop().request
        assert request is not None  # noqa: S101 - it was just parsed
        self._coming = None
        self._parser = httptools.HttpRequestParser(self)
        return without_offer(request, self._url) + rest

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._full = self._server.loop.create_future()
        self._unsent = self._transport.get_write_buffer_size()
        self.due = self._server.now() + self._server.limits.write_s

    def resume_writing(self) -> None:
        full, self._full = self._full, None
        self._wait(inf if self._task is not None else self._server.limits.idle_s)
        if full is not None and not full.done():
            full.set_result(None)

    # --- the parser's calls ---

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._in_head = True
        self._progress = self._progress or _BEGUN
        self._wait(self._server.limits.head_s)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are not looked at
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head, self._progress = False, _MORE
        headers = self._headers
        if self._large and len(self._url) + sum([len(name) + len(value) for name, value in headers]) > MAX_HEAD:
            raise httptools.HttpParserError(_MESSAGE)
        path, query = target(self._url)
        parser = self._parser
        body = Incoming(self._more)
        request = Request(parser.get_method().decode("ascii"), path, query, headers, body.receive, self._server.wall())
        turn = self._coming = Turn(request, body)
        turn.http10 = parser.get_http_version() == "1.0"
        turn.keep_alive = parser.should_keep_alive()
        coding = request.headers.get(b"transfer-encoding")
        if coding is not None and (turn.http10 or coding.strip().lower() != b"chunked"):
            raise httptools.HttpParserError(_MESSAGE)
        body.expects = not turn.http10 and request.headers.get(b"expect", b"").lower() == b"100-continue"
        self._turns.append(turn)
        self._wait(inf)

    def _more(self, expects: bool) -> None:
        if expects:
            self.send(_CONTINUE)
        self.read_on()

    def on_body(self, data: bytes) -> None:
        self._progress = _MORE
        if self._coming is not None and self._coming.body is not None:
            self._coming.body.feed(data)

    def on_message_complete(self) -> None:
        self._progress = _MORE
        turn, self._coming = self._coming, None
        if turn is not None and turn.body is not None and turn.request is not None:
            body = turn.body
            if self._task is None or turn is not self._turns[0]:  # nobody reads it yet
                turn.request.whole = body.chunks[0] if len(body.chunks) == 1 else b"".join(body.chunks)
            body.finish()

    # --- answering ---

    def _refuse(self, message: str) -> None:
        """Answer what could not be parsed, after what was, and close: nobody knows where the next request begins."""
        self._stopped = self._broken = True
        if self._coming is not None and self._coming.body is not None:
            self._coming.body.leave()
            self._coming = None
        self._turns.append(Turn(None, None, MalformedRequest(message, path="request")))

    def _begin(self) -> None:
        """Answer what has come: at once where that can be prompt, else in a task."""
        while self._turns:
            request, begun = self._turns[0].request, None
            if request is not None and request.whole is not None and self._full is None:
                begun = self._server.prompt(request, self._prompted)
            if not isinstance(begun, tuple):
                self._task = begun or self._server.loop.create_task(self._answer())
                return
            if not self._reply_now(begun):
                break
        self._rest()

    def _prompted(self, reply: Reply | None) -> None:
        """The prompt reply to the first of the turns, or none: it is to be handled."""
        self._task = None
        if self._lost:
            return
        if reply is None:
            self._task = self._server.loop.create_task(self._answer())
        elif self._reply_now(reply):
            self._begin()
        else:
            self._rest()

    def _reply_now(self, reply: Reply) -> bool:
        """Send the reply to the first of the turns; whether the next may follow."""
        turn = self._turns.popleft()
        status, headers, body = reply
        try:
            assert isinstance(body, bytes)  # noqa: S101 - what is prompt is short
            self._send_whole(turn, status, headers, body)
        except Exception:
            self._server.failed()
            self._transport.abort()
            turn.keep_alive = False
        if not turn.keep_alive:
            self._last = True
        elif self._paused and len(self._turns) <= PIPELINED:
            self.read_on()
        return turn.keep_alive

    async def _answer(self) -> None:
        """Answer what has come, in order."""
        try:
            if self._full is not None:
                await self._full
            while self._turns and not self._lost:
                turn = self._turns[0]
                try:
                    status, headers, body = await self._reply(turn)
                except ClientDisconnected:  # or its body broke off: the error's turn is next
                    self._turns.popleft()
                    continue
                if isinstance(body, bytes):
                    self._send_whole(turn, status, headers, body)
                else:
                    await self._send_pieces(turn, status, headers, body)
                self._turns.popleft()
                if not turn.keep_alive:
                    self._last = True
                    return
                if self._paused and len(self._turns) <= PIPELINED:
                    self.read_on()
                if self._full is not None:
                    await self._full
        except asyncio.CancelledError:
            if not self._lost:
                raise
        except Exception:
            self._server.failed()
            self._transport.abort()
        finally:
            self._task = None
            if not self._lost:
                self._rest()

    async def _reply(self, turn: Turn) -> Reply:
        if turn.request is None:
            return turn.refusal()
        return await self._server.handle(turn.request)

    def _send_whole(self, turn: Turn, status: int, headers: Headers, body: bytes) -> None:
        turn.keep_alive = turn.keep_alive and turn.complete and not self._server.draining
        self.send(reply_head(turn, status, headers, self._server.date()) + (b"" if turn.head_only else body))

    async def _send_pieces(self, turn: Turn, status: int, headers: Headers, body: AsyncIterator[bytes]) -> None:
        if self._server.draining:
            turn.keep_alive = False
        chunked = not turn.http10
        if chunked:
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        else:
            turn.keep_alive = False
        if turn.body is not None and turn.body.expects:  # it may be read only later, which is too late to say so
            turn.body.expects = False
            self.send(_CONTINUE)
        self.send(reply_head(turn, status, headers, self._server.date()))
        async with aclosing(framed(body, chunked=chunked)) as pieces:
            async for piece in pieces:
                if self._full is not None:
                    await self._full
                if self._lost:
                    return
                self.send(piece)
        turn.keep_alive = turn.keep_alive and turn.complete

    def send(self, data: bytes) -> None:
        """Write bytes, unless the client is gone."""
        if not self._lost:
            self._server.sent += len(data)
            self._transport.write(data)

    # --- between requests ---

    def _wait(self, seconds: float) -> None:
        """Give the client so long, unless it is reading that is waited for already."""
        if self._full is None:
            self.due = self._server.now() + seconds

    def _close(self) -> None:
        """Close when all is sent, which must not take for ever."""
        self._stopped = True
        self.due = self._server.now() + self._server.limits.write_s
        self._transport.close()

    def _rest(self) -> None:
        """The last reply was sent: wait for the next request, or close."""
        limits = self._server.limits
        if self._last or self._stopped or self._server.draining:
            self._linger()
        else:
            self._wait(limits.head_s if self._in_head else limits.idle_s)

    def _linger(self) -> None:
        """Close so that the client can still read: what it is sending is thrown away for a while."""
        busy = self._coming is not None or self._broken
        self._stopped = True
        self._turns.clear()
        if not busy:
            self._close()
            return
        self.read_on()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.due = self._server.now() + self._server.limits.linger_s

    def expire(self) -> None:
        """``due`` has come."""
        unsent = self._transport.get_write_buffer_size()
        if self._full is not None and unsent < self._unsent:  # slow, but it reads
            self._unsent = unsent
            self.due = self._server.now() + self._server.limits.write_s
        elif self._full is not None or (self._stopped and self._task is None):
            self._transport.abort()
        elif self._task is not None:
            self.due = inf
        elif self._in_head:
            self._in_head = False
            self._refuse(_SLOW.format(self._server.limits.head_s))
            self._task = self._server.loop.create_task(self._answer())
            self.due = inf
        else:
            self._close()

    def drain(self) -> None:
        """Answer what has come and close."""
        if self._task is None:
            self._close()

    def abort(self) -> None:
        """Break off, whatever is under way."""
        self._transport.abort()

    def _unread(self) -> int:
        return self._coming.body.size if self._coming is not None and self._coming.body is not None else 0

    def _pause(self) -> None:
        if not self._paused and not self._lost:
            self._paused = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read from the connection again."""
        if self._paused and not self._lost:
            self._paused = False
            self._transport.resume_reading()
