"""The body of a request to the control port, read within limits."""

from __future__ import annotations

from fastapi import Request

from quorate.errors import MalformedRequest
from quorate.web.limits import ClientDisconnected, read_body


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes of it, decompressed."""
    headers = dict(request.scope["headers"])
    try:
        return await read_body(
            request.receive,
            limit=limit,
            content_length=headers.get(b"content-length"),
            encoding=headers.get(b"content-encoding"),
        )
    except ClientDisconnected:
        raise MalformedRequest("The body is not complete: the client went away.", path="body") from None


def media_type_of(request: Request) -> str:
    """The media type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
