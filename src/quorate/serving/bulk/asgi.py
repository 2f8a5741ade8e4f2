"""Batches over ASGI: a request's body as pieces, and an answer sent piece by piece until its reader is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from quorate.serving.bulk.desk import BatchRequest
from quorate.serving.http import Headers, Receive, Request, Send
from quorate.web.limits import ClientDisconnected

SEND_S = 60.0
"""How long a client may take none of the answer."""


class Body:
    """A request's body; ``gone`` is done when its client has left after sending all of it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.gone: asyncio.Task[None] | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes; :class:`ClientDisconnected` where its client leaves in the middle."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            yield message.get("body", b"")
            if not message.get("more_body", False):
                self.gone = asyncio.create_task(self._wait())
                return

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def close(self) -> None:
        """Watch no more."""
        if self.gone is not None:
            self.gone.cancel()
            await asyncio.gather(self.gone, return_exceptions=True)


def batch_request(request: Request, endpoint: str, body: Body) -> BatchRequest:
    """A batch from a request's head and body."""
    headers = request.headers
    return BatchRequest(
        endpoint,
        body.pieces(),
        request.media_type,
        query=request.query,
        accept=headers.get(b"accept"),
        encoding=headers.get(b"content-encoding"),
        request_id=request.request_id,
        traceparent=request.traceparent,
    )


async def send_pieces(send: Send, status: int, headers: Headers, answer: AsyncIterator[bytes], body: Body) -> None:
    """Send an answer as it is made; it stops where the client is gone, or takes nothing for ``SEND_S`` seconds."""
    try:
        async with aclosing(answer):  # type: ignore[type-var]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            try:
                async for piece in answer:
                    if body.gone is not None and body.gone.done():
                        return
                    async with asyncio.timeout(SEND_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except (ClientDisconnected, TimeoutError):
                return
    finally:
        await body.close()
