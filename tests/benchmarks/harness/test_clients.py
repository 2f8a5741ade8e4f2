"""Clients that look at every answer, against a small server."""

from __future__ import annotations

import asyncio
from collections import Counter

from benchmarks.harness.clients import storm
from benchmarks.harness.requests import Request


def test_answers_come_with_their_numbers_and_those_who_left_wait_for_nothing() -> None:
    lost: Counter[str] = Counter()
    seen: dict[int, tuple[int, bytes]] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                if body == b"break":
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        except (asyncio.IncompleteReadError, OSError):
            lost["left"] += 1
        writer.close()

    async def run() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        begun = await storm(
            port,
            lambda n: Request("/", b"break" if n == 5 else b"%d" % n).encode(),
            lambda n, status, body, seconds: seen.update({n: (status, body)}),
            until=lambda n: n >= 30,
            connections=3,
            leaves=lambda n: 0.5 if n % 10 == 9 else None,
        )
        server.close()
        return begun

    assert asyncio.run(run()) == 30
    assert set(seen) == {n for n in range(30) if n % 10 != 9}
    assert seen.pop(5) == (0, b"")
    assert all(answer == (200, b"%d" % n) for n, answer in seen.items())
