"""HTTP/1.1 messages as bytes: what a request's head asks for, a reply's head, and a body that is sent in pieces.

Reference: RFC 9112, HTTP/1.1.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from quorate.serving.http import Headers, Request
from quorate.serving.turn import Turn

_STATUS = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


def target(url: bytes) -> tuple[str, bytes]:
    """The decoded path and the query of a request target."""
    if not url.startswith(b"/"):
        parsed = httptools.parse_url(url)
        raw, query = parsed.path or b"/", parsed.query or b""
    else:
        raw, _, query = url.partition(b"?")
    path = raw.decode("ascii")
    return (unquote(path) if "%" in path else path), query


def without_offer(request: Request, url: bytes) -> bytes:
    """The head of a request again, without its offer of another protocol."""
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), url)]
    for name, value in request.received:
        if name == b"connection":
            value = b"close" if b"close" in value.lower() else b"keep-alive"
        if name not in (b"upgrade", b"http2-settings"):
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join([*lines, b"\r\n"])


def reply_head(turn: Turn, status: int, headers: Headers, date: bytes) -> bytes:
    """Status line and headers of a reply, up to its body; ``date`` is the Date header as a line."""
    lines = [_STATUS[status], date]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    if not turn.keep_alive:
        lines.append(b"connection: close\r\n")
    elif turn.http10:
        lines.append(b"connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


async def framed(body: AsyncIterator[bytes], *, chunked: bool) -> AsyncGenerator[bytes, None]:
    """The pieces of a body as they are sent; it is closed at the end, also when that comes early."""
    try:
        async for piece in body:
            if piece:
                yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        if chunked:
            yield b"0\r\n\r\n"
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()
