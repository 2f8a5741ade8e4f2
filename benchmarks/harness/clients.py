"""Clients that look at every answer, and may hang up: slower than the compiled generators, and choosier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

Sent = Callable[[int], bytes]
"""The whole request of a number."""
Seen = Callable[[int, int, bytes, float], None]
"""Called with number, status, body and seconds of every answer; status 0 is a broken connection."""
Leaves = Callable[[int], float | None]
"""The share of a request after which its client hangs up; 1.0: it sends all and waits for nothing; None: it stays."""


class Connection:
    """One keep-alive connection; opened again when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body."""
        reader, writer = await self._open()
        try:
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = await reader.readexactly(length)
            if b"connection: close" in head.lower():
                self.close()
            return int(head[9:12]), body
        except BaseException:
            self.close()
            raise

    async def hang_up(self, raw: bytes, share: float) -> None:
        """Send a part of a request and close the connection."""
        _, writer = await self._open()
        writer.write(raw[: max(1, int(share * len(raw)))])
        with suppress(OSError):
            await writer.drain()
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams


async def storm(
    port: int,
    sent: Sent,
    seen: Seen,
    *,
    until: Callable[[int], bool],
    connections: int,
    leaves: Leaves = lambda number: None,
    beside: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Ask one request after another on each connection until ``until(number)``; returns how many were begun.

    ``beside`` runs meanwhile, and is waited for.
    """
    begun = 0

    async def one() -> None:
        nonlocal begun
        connection = Connection(port)
        while not until(begun):
            number, begun = begun, begun + 1
            share = leaves(number)
            if share is not None:
                with suppress(OSError):
                    await connection.hang_up(sent(number), share)
                continue
            started = time.perf_counter()
            try:
                status, body = await asyncio.wait_for(connection.ask(sent(number)), 30)
            except (OSError, EOFError, TimeoutError):
                status, body = 0, b""
            seen(number, status, body, time.perf_counter() - started)
        connection.close()

    side = asyncio.create_task(_awaited(beside)) if beside else None
    await asyncio.gather(*(one() for _ in range(connections)))
    if side is not None:
        await side
    return begun


async def _awaited(what: Callable[[], Awaitable[None]]) -> None:
    await what()
