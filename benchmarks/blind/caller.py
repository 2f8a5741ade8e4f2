"""The caller: keep-alive connections that note every byte and when it came."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from benchmarks.blind.traffic import Ask

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.I)
_TIMEOUT = 30.0


@dataclass(slots=True)
class Seen:
    """Everything a caller can see of one answer.

    Times are seconds of ``perf_counter``; ``wall`` is Unix seconds at sending; ``chunks`` are the sizes of what the
    socket gave at once. ``order`` counts all requests of the run in the order they were sent.
    """

    ask: Ask
    order: int
    connection: int
    connections: int
    wall: float
    sent: float
    first: float = 0.0
    done: float = 0.0
    chunks: tuple[int, ...] = ()
    head: bytes = b""
    body: bytes = b""

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.head[9:12])


class _Connection(asyncio.Protocol):
    """Sends one request at a time; ``ask`` resolves when its answer is complete."""

    def __init__(self) -> None:
        self._data = b""
        self._chunks: list[int] = []
        self._first = 0.0
        self._total: int | None = None
        self._answer: asyncio.Future[None] | None = None
        self._seen: Seen | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, seen: Seen) -> None:
        assert self._transport is not None
        self._data, self._chunks, self._total, self._seen = b"", [], None, seen
        self._answer = asyncio.get_running_loop().create_future()
        seen.wall = time.time()
        seen.sent = time.perf_counter()
        self._transport.write(seen.ask.raw)
        await asyncio.wait_for(self._answer, _TIMEOUT)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self._chunks:
            self._first = now
        self._chunks.append(len(data))
        self._data += data
        if self._total is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._data[: end + 2])
            self._total = end + 4 + (int(found[1]) if found else 0)
        if len(self._data) < self._total or self._seen is None or self._answer is None:
            return
        seen, head = self._seen, self._data.index(b"\r\n\r\n") + 4
        seen.first, seen.done, seen.chunks = self._first, now, tuple(self._chunks)
        seen.head, seen.body = self._data[:head], self._data[head:]
        self._seen = None
        self._answer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def call(port: int, asks: Sequence[Ask], connections: int, *, start: int = 0) -> list[Seen]:
    """Send all of them over so many connections, each of which sends the next when its answer has come."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_call(port, asks, connections, start))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", new_event_loop)


async def _call(port: int, asks: Sequence[Ask], connections: int, start: int) -> list[Seen]:
    queue = iter(asks)
    seen: list[Seen] = []
    loop = asyncio.get_running_loop()

    async def one(number: int) -> None:
        _, line = await loop.create_connection(_Connection, "127.0.0.1", port)
        for ask in queue:
            if not line.is_open:
                _, line = await loop.create_connection(_Connection, "127.0.0.1", port)
            found = Seen(ask, start + len(seen), number, connections, 0.0, 0.0)
            seen.append(found)
            await line.ask(found)
        line.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return seen
