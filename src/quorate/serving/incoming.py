"""The body of a request that is still coming in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any


class Incoming:
    """A request's body as it comes in; ``expects``: its client waits to be told to go on.

    ``more`` is called when the reader wants what is not there: with True if the client is to be told to go on.
    """

    __slots__ = ("_more", "_waiter", "chunks", "complete", "expects", "gone", "size")

    def __init__(self, more: Callable[[bool], None]) -> None:
        self._more = more
        self._waiter: asyncio.Future[None] | None = None
        self.chunks: list[bytes] = []
        self.size = 0
        self.complete = False
        self.gone = False
        self.expects = False

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self.chunks.append(data)
        self.size += len(data)
        self.wake()

    def finish(self) -> None:
        """That was all."""
        self.complete = True
        self.wake()

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> MutableMapping[str, Any]:
        """The next piece, as an ASGI message."""
        while not self.chunks and not self.complete and not self.gone:
            expects, self.expects = self.expects, False
            self._more(expects)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.gone:
            return {"type": "http.disconnect"}
        data = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self.size = 0
        return {"type": "http.request", "body": data, "more_body": not self.complete}
