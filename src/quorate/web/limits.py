"""Reading a request's body within its limits: bytes, time, and what a compressed body may become."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from quorate.errors import MalformedRequest, TooLarge, UnsupportedMediaType

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

READ_TIMEOUT_S = 30.0


class ClientDisconnected(Exception):
    """The client went away before its body was complete; nobody is left to answer."""


async def read_body(
    receive: Receive,
    *,
    limit: int,
    content_length: bytes | None = None,
    encoding: bytes | None = None,
    timeout_s: float = READ_TIMEOUT_S,
) -> bytes:
    """Read an ASGI request's whole body, decompressed.

    ``limit`` is bytes, both on the wire and after decompression; ``encoding`` is the Content-Encoding header.
    Raises :class:`TooLarge` (at once where Content-Length says so), :class:`MalformedRequest` after ``timeout_s``
    seconds, :class:`UnsupportedMediaType` for an unknown encoding and :class:`ClientDisconnected`.
    """
    if content_length is not None and content_length.isdigit() and int(content_length[:20]) > limit:
        raise _too_large(limit)
    decompress = _decompressor(encoding)
    try:
        async with asyncio.timeout(timeout_s):
            body = await _drain(receive, limit)
    except TimeoutError:
        raise MalformedRequest(
            f"The body did not arrive within {timeout_s:g} s; send it faster or in smaller requests.",
            path="body",
        ) from None
    return body if decompress is None else decompress(body, limit)


async def _drain(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            # The common case, one chunk, is not copied.
            return chunk if not chunks else b"".join([*chunks, chunk])
        if chunk:
            chunks.append(chunk)


def _decompressor(encoding: bytes | None) -> Callable[[bytes, int], bytes] | None:
    name = (encoding or b"").strip().lower()
    if name in (b"", b"identity"):
        return None
    if name in (b"gzip", b"x-gzip"):
        return gunzip
    if name == b"deflate":
        return inflate
    raise UnsupportedMediaType(
        f"Content-Encoding '{name.decode('latin-1')[:50]}' is not read here; expected gzip, deflate or identity.",
        path="Content-Encoding",
    )


def gunzip(body: bytes, limit: int) -> bytes:
    """Undo gzip (one member); never makes more than ``limit`` bytes."""
    return _expand(body, 16 + zlib.MAX_WBITS, limit)


def inflate(body: bytes, limit: int) -> bytes:
    """Undo deflate: the zlib format as RFC 9110 says, or the bare one that some clients send."""
    # RFC 1950: the method is 8, and the first two bytes are a multiple of 31.
    is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _expand(body, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, limit)


def _expand(body: bytes, window: int, limit: int) -> bytes:
    stream = zlib.decompressobj(window)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise _broken(str(error)) from None
    if len(data) > limit:
        raise _too_large(limit)
    if not stream.eof:
        raise _broken("it ends too early")
    if stream.unused_data:
        raise _broken("bytes follow its end")
    return data


def _broken(why: str) -> MalformedRequest:
    return MalformedRequest(
        f"The body is not what its Content-Encoding says: {why}. Compress it again or send it as it is.", path="body"
    )


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body has more than {limit} bytes (limits.body_bytes); send fewer rows a request, or raise the limit.",
        path="body",
    )
